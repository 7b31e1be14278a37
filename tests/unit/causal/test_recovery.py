"""Planted graphs and the measures of how close a fit comes."""

import numpy as np
import pytest

from causal.hca.triangular import fit_triangular
from causal.planted.recovery import (
    amari_error,
    flag_angle,
    is_consistent,
    recover,
    recover_one,
    recovery_curve,
    true_alignment,
)
from causal.planted.simulate import Design, Planted, canonical, draw_noise, plant
from workbench.errors import BadOption, TooLittleData

FULL = np.tril(np.ones((3, 3)), -1)


@pytest.mark.parametrize("family", ["laplace", "uniform", "exponential", "mixed", "gaussian"])
def test_noise_has_unit_variance(family: str, rng: np.random.Generator) -> None:
    x = draw_noise(family, (40_000, 3), rng)  # type: ignore[arg-type]
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=0.03)
    np.testing.assert_allclose(x.std(axis=0), 1.0, atol=0.03)


def test_planted_rows_follow_the_planted_equations() -> None:
    planted = plant(Design(n=50, residual=0.0), np.random.default_rng(0))
    for block, b in zip(planted.rows.blocks, planted.b, strict=True):
        z = block @ np.linalg.pinv(planted.loadings).T
        np.testing.assert_allclose(z @ planted.loadings.T, block, atol=1e-10)
        noise = z @ b.T
        np.testing.assert_allclose(block, noise @ np.linalg.inv(b).T @ planted.loadings.T)
    np.testing.assert_allclose(np.linalg.norm(planted.loadings, axis=0), 1.0)


def test_heterogeneity_says_what_differs() -> None:
    rng = np.random.default_rng(0)
    alike = plant(Design(n=5, heterogeneity="none"), rng).gauge
    scaled = plant(Design(n=5, heterogeneity="scale"), rng).gauge
    free = plant(Design(n=5), rng).gauge
    assert np.ptp(alike.effects, axis=0).max() < 1e-9
    assert np.ptp(alike.scales, axis=0).max() < 1e-9
    assert np.ptp(scaled.effects, axis=0).max() < 1e-9
    assert np.ptp(scaled.scales, axis=0).min() > 0.05
    assert np.ptp(free.effects, axis=0).max() > 0.5


def test_density_and_contamination() -> None:
    rng = np.random.default_rng(0)
    assert plant(Design(n=5, density=0.0), rng).mask.sum() == 0
    assert plant(Design(n=5, density=1.0), rng).mask.sum() == 3
    clean = plant(Design(n=200), np.random.default_rng(1)).rows
    mixed = plant(Design(n=200, contamination=0.3), np.random.default_rng(1)).rows
    assert mixed.counts == clean.counts
    moved = np.mean(
        [(a != b).any(axis=1).mean() for a, b in zip(clean.blocks, mixed.blocks, strict=True)]
    )
    assert 0.2 < moved < 0.4
    np.testing.assert_allclose(np.sort(mixed.pooled[:, 0]), np.sort(clean.pooled[:, 0]))


def test_more_capabilities_than_benchmarks_are_refused() -> None:
    with pytest.raises(BadOption, match="k = 7"):
        Design(k=7, d=6)


def test_canonical_gauge_is_orthonormal_and_equivalent(planted: Planted) -> None:
    h = np.linalg.pinv(planted.loadings)
    gauge = canonical(h, planted.b)
    np.testing.assert_allclose(gauge.h @ gauge.h.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(gauge.b @ gauge.h, planted.b @ h, atol=1e-10)
    assert np.abs(np.triu(gauge.b, 1)).max() < 1e-10


def test_measures_of_error() -> None:
    w = np.random.default_rng(0).standard_normal((5, 3))
    exact = np.linalg.pinv(w)[[2, 0, 1]] * np.array([[-1.0], [3.0], [0.5]])
    assert amari_error(exact, w) == pytest.approx(0.0, abs=1e-12)
    assert amari_error(np.ones((3, 5)), np.ones((5, 3))) == pytest.approx(1.0)
    assert amari_error(np.ones((1, 5)), np.ones((5, 1))) == 0.0
    eye = np.eye(4)
    assert flag_angle(eye[:2], eye[:2]) == pytest.approx(0.0, abs=1e-9)
    assert flag_angle(eye[:2], eye[[1, 0]]) == pytest.approx(90.0)
    turned = np.array([[np.cos(0.1), np.sin(0.1), 0.0, 0.0]])
    assert flag_angle(eye[:1], turned) == pytest.approx(np.degrees(0.1))


def test_exact_input_is_recovered_exactly(planted: Planted) -> None:
    unmixing = planted.unmixing[:, [1, 2, 0]]
    truth = true_alignment(planted, unmixing)
    np.testing.assert_array_equal(truth, np.tile([2, 0, 1], (4, 1)))
    found = recover(planted, unmixing, fit_triangular(unmixing, truth), order_correct=True)
    assert found.edge_error < 1e-9
    assert found.flag_angle < 1e-5
    assert found.sign_accuracy == 1.0
    assert found.scale_error < 1e-9


def test_consistent_orders() -> None:
    truth = np.tile([0, 1, 2], (2, 1))
    assert is_consistent(truth, truth, FULL)
    assert not is_consistent(truth[:, [1, 0, 2]], truth, FULL)
    assert not is_consistent(np.array([[0, 1, 2], [1, 0, 2]]), truth, np.zeros((3, 3)))
    chain_less = np.zeros((3, 3))
    chain_less[2, 0] = 1.0
    assert is_consistent(truth[:, [1, 0, 2]], truth, chain_less)
    assert not is_consistent(truth[:, [2, 1, 0]], truth, chain_less)


def test_curve_reports_every_design() -> None:
    result = recovery_curve([Design(n=200), Design(n=200, noise="gaussian")], seeds=6)
    rows = result.tables["recovery"].rows()
    assert rows[0]["order_recovery"] > rows[1]["order_recovery"]
    assert rows[0]["edge_error"] < 0.4
    assert rows[0]["edge_error_median"] <= rows[0]["edge_error_all"]
    assert rows[0]["order_low"] < rows[0]["order_recovery"] <= rows[0]["order_high"]
    assert [row["runs"] + row["failed"] for row in rows] == [6, 6]
    with pytest.raises(TooLittleData, match="no planted graph could be fitted"):
        recovery_curve([Design(n=5)], seeds=1)


def test_same_seed_same_recovery() -> None:
    assert recover_one(Design(n=150), 3) == recover_one(Design(n=150), 3)
    assert recover_one(Design(n=150), 3) != recover_one(Design(n=150), 4)


@pytest.mark.slow
def test_recovery_meets_its_bars() -> None:
    designs = [Design(n=300), Design(n=1000)]
    rows = recovery_curve(designs, seeds=100).tables["recovery"].rows()
    assert rows[0]["order_recovery"] >= 0.80
    assert rows[1]["order_recovery"] >= 0.90
    assert rows[1]["edge_error"] <= 0.13
