"""Planted domains shared by the tests of the causal package."""

import numpy as np
import pytest

from causal.hca.fit import HierarchicalFit, fit_domains
from causal.planted.simulate import Design, Planted, plant
from causal.scores.leaderboard import ScoreTable, bundled
from causal.scores.rows import DomainRows

FOUR = ("llama-3-8b", "llama-3.1-8b", "qwen2.5-7b", "qwen2.5-14b")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def planted() -> Planted:
    return plant(Design(n=600), np.random.default_rng(3))


@pytest.fixture(scope="session")
def planted_fit(planted: Planted) -> HierarchicalFit:
    return fit_domains(planted.rows, 3, generator=np.random.default_rng(0))


@pytest.fixture(scope="session")
def shipped() -> ScoreTable:
    return bundled()


@pytest.fixture(scope="session")
def shipped_fit(shipped: ScoreTable) -> HierarchicalFit:
    return fit_domains(shipped.rows(FOUR), 3, generator=np.random.default_rng(0))


def grid_rows(mixing: np.ndarray, levels: int = 12) -> np.ndarray:
    """Return rows whose noises are exactly independent: every combination of given levels.

    The levels are uneven, so that each noise is far from normal and no two are alike.
    """
    k = mixing.shape[1]
    columns = []
    for i in range(k):
        level = np.linspace(-1, 1, levels) ** (1 + 2 * (i % 2)) + 0.3 * (i == 2)
        level = level + (np.linspace(0, 1, levels) ** 4 if i % 3 == 2 else 0.0)
        level = level - level.mean()
        columns.append(level)
    noise = np.stack([g.ravel() for g in np.meshgrid(*columns, indexing="ij")], axis=1)
    noise = noise / noise.std(axis=0, ddof=1)
    return noise @ mixing.T


def exact_domains(planted: Planted) -> DomainRows:
    """Return noise-free rows of a planted graph on a grid of independent noises."""
    mixing = planted.loadings @ np.linalg.inv(planted.b)
    return planted.rows.replace([grid_rows(m) for m in mixing])
