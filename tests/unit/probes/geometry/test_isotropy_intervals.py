"""Intervals: what they resample, and how often they hold the truth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from probes.geometry.cosine import cosine_readings
from probes.geometry.moments import Moments
from probes.geometry.neighbours import two_nn
from probes.geometry.texts import Runs, TextSums
from workbench.result.intervals import jackknife_interval

Row = Callable[..., dict[str, Any]]

METRICS = (
    "mean_cosine",
    "su_collier_pooled",
    "su_collier_per_text",
    "participation_ratio_corrected",
    "effective_rank",
    "stable_rank",
)


def test_jackknife_needs_three_groups_and_finite_values() -> None:
    assert jackknife_interval(1.0, np.array([1.0, 2.0])) is None
    assert jackknife_interval(1.0, np.array([1.0, 2.0, np.nan])) is None


def test_the_covariance_without_a_group_is_that_of_the_others() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 5, generator=generator, dtype=torch.float64) + 3
    bounds = [(0, 0, 11), (1, 11, 40), (2, 40, 60)]
    moments = Moments(1, 5, 3, torch.device("cpu"))
    moments.add(slice(None), x[None].clone(), bounds)
    moments.count(bounds)
    for group, start, end in bounds:
        rest = torch.cat([x[:start], x[end:]])
        found = moments.covariance_without(slice(None), group)[0]
        torch.testing.assert_close(found, torch.cov(rest.T), rtol=1e-5, atol=1e-5)


def test_cosines_without_a_block_are_those_of_the_other_texts() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 5)) + 0.5
    x[2, 0] = 0
    sums = TextSums(1, 5, torch.device("cpu"))
    length = np.linalg.norm(x, axis=2)
    unit = x / np.where(length > 0, length, 1)[:, :, None]
    sums.coordinate[0] = torch.from_numpy((unit**2).sum(axis=(0, 1)))
    sums.add(
        Runs(
            keys=np.arange(1, 5),
            units=np.arange(4),
            n=np.full(4, 3),
            direction=torch.from_numpy(unit.sum(axis=1)[None]),
            vector=torch.from_numpy(x.sum(axis=1)[None]),
            squared=torch.from_numpy((length > 0).sum(axis=1)[None]).double(),
            length=torch.from_numpy(length.sum(axis=1)[None]),
        )
    )
    found = cosine_readings(sums.closed())
    for i in range(4):
        rest = np.delete(unit, i, axis=0).reshape(-1, 5)
        rest = rest[np.abs(rest).sum(axis=1) > 0]
        pairs = (rest @ rest.T)[~np.eye(len(rest), dtype=bool)]
        assert found["mean_cosine"].without[0, i] == pytest.approx(pairs.mean())
        within = [u[size > 0] for u, size in zip(unit, length, strict=True)]
        cosines = [(u @ u.T)[~np.eye(len(u), dtype=bool)] for u in within]
        del cosines[i]
        pooled = 1 - np.concatenate(cosines).mean()
        assert found["su_collier_pooled"].without[0, i] == pytest.approx(pooled)
    assert found["mean_cosine"].sizes.tolist() == [3, 3, 3, 3]


@pytest.mark.parametrize("n_groups", [2, 3, 9])
def test_neighbours_without_a_group_are_those_among_the_others(n_groups: int) -> None:
    generator = np.random.default_rng(n_groups)
    x = torch.from_numpy(generator.standard_normal((1, 90, 3)))
    groups = np.sort(generator.integers(0, n_groups, 90))
    found = two_nn(x, groups)
    for g in range(n_groups):
        rest = two_nn(x[:, groups != g], np.zeros(int((groups != g).sum()), dtype=np.int64))
        assert found.left_out[0, g] == pytest.approx(rest.likelihood[0], rel=1e-9)


def clustered(generator: torch.Generator, n_texts: int, length: int = 20) -> tuple[Tensor, Tensor]:
    """Draw texts whose tokens share a direction, so that tokens are far from independent."""
    topic = torch.randn(n_texts, 1, 8, generator=generator) * torch.arange(1, 9) / 4
    own = 0.5 * torch.randn(n_texts, length, 8, generator=generator)
    shift = torch.tensor([1.0, *[0.0] * 7])
    text = torch.repeat_interleave(torch.arange(n_texts), length)
    return (topic + own + shift).flatten(0, 1), text


def test_intervals_know_that_tokens_of_a_text_are_alike(
    measure_row: Row, generator: torch.Generator
) -> None:
    x, text = clustered(generator, 40)
    by_text = measure_row(x, text)
    order = torch.randperm(len(x), generator=generator)
    by_token = measure_row(x[order], torch.arange(len(x)))
    for name in ("mean_cosine", "participation_ratio", "effective_rank"):
        wide = by_text[f"{name}_high"] - by_text[f"{name}_low"]
        narrow = by_token[f"{name}_high"] - by_token[f"{name}_low"]
        assert wide > 1.8 * narrow, name


@pytest.mark.slow
@pytest.mark.parametrize("n_texts", [40, 120])
def test_intervals_hold_the_truth_about_as_often_as_they_say(
    measure_row: Row, n_texts: int
) -> None:
    generator = torch.Generator().manual_seed(7)
    truth = measure_row(*clustered(generator, 30_000, 20), reservoir=4_000)
    held = dict.fromkeys(METRICS, 0)
    trials = 120
    for _ in range(trials):
        row = measure_row(*clustered(generator, n_texts), reservoir=4_000)
        for name in METRICS:
            held[name] += row[f"{name}_low"] <= truth[name] <= row[f"{name}_high"]
    shares = {name: count / trials for name, count in held.items()}
    assert min(shares.values()) > 0.85, shares
