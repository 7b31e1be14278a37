"""Every metric against its definition written out, and against other people's code."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skdim
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from IsoScore.IsoScore import IsoScore, IsoScore_star
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.neighbours import two_nn
from probes.geometry.spectrum import isoscore, spectral_metrics
from workbench.result.result import Result

Row = Callable[..., dict[str, Any]]
Cloud = Callable[[int, int], Tensor]


def skewed(seed: int, n: int, d: int) -> NDArray[np.float64]:
    """Draw correlated, heavy-tailed vectors about a mean."""
    generator = np.random.default_rng(seed)
    mix = generator.standard_normal((d, d)) * np.geomspace(1, 0.05, d)
    return generator.standard_t(5, size=(n, d)) @ mix + generator.standard_normal(d)


def seven_steps(spectrum: NDArray[np.float64]) -> float:
    """IsoScore as published: normalise, measure the defect, rescale."""
    d = len(spectrum)
    normalised = spectrum * np.sqrt(d) / np.linalg.norm(spectrum)
    defect = np.linalg.norm(normalised - 1) / np.sqrt(2 * (d - np.sqrt(d)))
    used = (d - defect**2 * (d - np.sqrt(d))) ** 2 / d
    return float((used - 1) / (d - 1))


@given(
    spectrum=st.lists(st.floats(0, 1e3), min_size=2, max_size=40).filter(lambda v: max(v) > 1e-3)
)
@settings(deadline=None)
def test_isoscore_equals_the_seven_step_recipe(spectrum: list[float]) -> None:
    sorted_ = np.sort(np.array(spectrum))[::-1].copy()
    ours = spectral_metrics(sorted_[None], 1000, zeta=0.0)["isoscore"][0]
    assert ours == pytest.approx(seven_steps(sorted_), abs=1e-9)


def test_isoscore_equals_the_published_package(measure_row: Row) -> None:
    x = skewed(0, 700, 24)
    row = measure_row(torch.from_numpy(x))
    assert row["isoscore"] == pytest.approx(float(IsoScore(x)), abs=1e-6)
    for zeta in (0.2, 0.75):
        star = float(IsoScore_star(x, torch.eye(24, dtype=torch.float64), zeta))
        ours = measure_row(torch.from_numpy(x), zeta=zeta)["isoscore_star"]
        assert ours == pytest.approx(star, abs=1e-6)


@pytest.mark.parametrize("d", [3, 30])
def test_two_nn_equals_scikit_dimension(d: int) -> None:
    x = skewed(1, 800, d)
    found = two_nn(torch.from_numpy(x)[None], np.zeros(len(x), dtype=np.int64))
    slope = skdim.id.TwoNN(discard_fraction=0.1).fit(x).dimension_
    assert found.slope[0] == pytest.approx(slope, rel=1e-6)
    with np.errstate(divide="ignore"):  # its plotting axis ends at ln 0
        whole = skdim.id.TwoNN(discard_fraction=0.0, method="mle").fit(x).dimension_
    assert found.likelihood[0] == pytest.approx(whole, rel=1e-6)


def test_spectral_metrics_follow_their_formulas(measure_row: Row) -> None:
    x = skewed(2, 400, 12)
    row = measure_row(torch.from_numpy(x))
    sigma = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    q, p = sigma / sigma.sum(), sigma**2 / (sigma**2).sum()
    assert row["effective_rank"] == pytest.approx(np.exp(-(q * np.log(q)).sum()), rel=1e-10)
    assert row["effective_rank_eigenvalues"] == pytest.approx(
        np.exp(-(p * np.log(p)).sum()), rel=1e-10
    )
    assert row["stable_rank"] == pytest.approx((sigma**2).sum() / sigma[0] ** 2, rel=1e-10)
    assert row["participation_ratio"] == pytest.approx(1 / (p**2).sum(), rel=1e-10)


def cosines(x: NDArray[np.float64]) -> NDArray[np.float64]:
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (u @ u.T)[~np.eye(len(x), dtype=bool)]


def test_cosine_metrics_follow_their_definitions(measure: Callable[..., Result]) -> None:
    x = skewed(3, 90, 7)
    sizes = [1, 2, 40, 7, 30, 10]
    text = np.repeat(np.arange(len(sizes)), sizes)
    result = measure(torch.from_numpy(x), torch.from_numpy(text))
    row = result.tables["layers"].rows()[0]
    within = [cosines(x[text == t]) for t in range(len(sizes))]
    assert row["mean_cosine"] == pytest.approx(cosines(x).mean(), abs=1e-12)
    assert row["su_collier_pooled"] == pytest.approx(1 - np.concatenate(within).mean(), abs=1e-12)
    per_text = np.mean([1 - c.mean() for c in within if len(c)])
    assert row["su_collier_per_text"] == pytest.approx(per_text, abs=1e-12)
    toward = []
    for t in range(len(sizes)):
        rows = x[text == t]
        mean = rows.mean(axis=0)
        cos = rows @ mean / np.linalg.norm(rows, axis=1) / np.linalg.norm(mean)
        toward.append(cos.mean())
    assert row["intra_sentence_similarity"] == pytest.approx(np.mean(toward), abs=1e-12)
    assert row["n_texts"] == len(sizes)
    rogue = result.tables["rogue"]
    assert rogue["contribution"].sum() == pytest.approx(row["mean_cosine"], abs=1e-12)


def test_rows_without_texts_are_one_text(measure_row: Row) -> None:
    row = measure_row(torch.from_numpy(skewed(4, 300, 6)))
    assert row["n_texts"] == 1
    for name in ("su_collier_pooled", "su_collier_per_text"):
        assert row[name] == pytest.approx(1 - row["mean_cosine"], abs=1e-12)
        assert row[f"{name}_low"] == pytest.approx(1 - row["mean_cosine_high"], abs=1e-9)


def test_centred_cosines_are_those_of_centred_rows(measure_row: Row) -> None:
    x = skewed(5, 200, 6).astype(np.float32).astype(np.float64)
    text = torch.arange(200) // 20
    row = measure_row(torch.from_numpy(x), text, center=True)
    moved = x - x.mean(axis=0)
    assert row["mean_cosine"] == pytest.approx(cosines(moved).mean(), abs=1e-10)
    within = np.concatenate([cosines(moved[20 * t : 20 * t + 20]) for t in range(10)])
    assert row["su_collier_pooled"] == pytest.approx(1 - within.mean(), abs=1e-10)


def test_removing_a_planted_rogue_dimension_removes_the_cosine(
    measure: Callable[..., Result], cloud: Cloud
) -> None:
    x = cloud(2_000, 32)
    x[:, 5] = 20 * x[:, 5].exp()
    result = measure(x)
    first = result.tables["rogue"].rows()[0]
    assert first["dimension"] == 5
    assert first["share"] == pytest.approx(1, abs=0.01)
    removal = {r["removed"]: r for r in result.tables["removal"].rows()}
    assert abs(removal[1]["mean_cosine"]) < 0.02
    assert removal[1]["r_squared"] < 0.5
    assert set(removal) == {1, 3, 5}


def test_removing_ordinary_dimensions_changes_little(
    measure: Callable[..., Result], cloud: Cloud
) -> None:
    result = measure(cloud(2_000, 256) + 1)
    removal = {r["removed"]: r for r in result.tables["removal"].rows()}
    assert removal[1]["r_squared"] > 0.95
    assert removal[1]["mean_cosine"] == pytest.approx(0.5, abs=0.02)


def test_isoscore_of_one_dimension_is_undefined() -> None:
    assert np.isnan(isoscore(np.ones(1), 1)).all()
