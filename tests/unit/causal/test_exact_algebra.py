"""Domains built from a known map and triangular matrices give everything back exactly."""

import numpy as np
import pytest

from causal.hca.alignment import search
from causal.hca.fit import HierarchicalFit, fit_domains
from causal.hca.gauge import Gauge, anchor
from causal.hca.ica import IcaOptions
from causal.hca.triangular import direct_effects, fit_triangular
from causal.planted.simulate import Design, Planted, canonical, plant
from tests.unit.causal.conftest import exact_domains


def scramble(planted: Planted, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the true unmixing with rows in random order and of random sign, and the orders."""
    k = planted.unmixing.shape[1]
    orders = np.array([rng.permutation(k) for _ in planted.unmixing])
    signs = rng.choice([-1.0, 1.0], size=(len(orders), k, 1))
    rows = np.take_along_axis(planted.unmixing, orders[..., None], axis=1) * signs
    return rows, np.argsort(orders, axis=1)


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_algebra_recovers_order_map_and_effects(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    planted = plant(Design(k=k, d=7, n=10, domains=3 if k == 4 else 4), rng)
    unmixing, truth = scramble(planted, rng)
    found = search(unmixing)
    assert found.scores.min() < 1e-12
    np.testing.assert_array_equal(found.alignments[found.best], truth)
    fit = fit_triangular(unmixing, found.alignments[found.best])
    gauge = Gauge(h=fit.h, b=fit.b, offset=np.zeros(k))
    np.testing.assert_allclose(gauge.h, planted.gauge.h, atol=1e-6)
    np.testing.assert_allclose(gauge.effects, planted.gauge.effects, atol=1e-6)
    np.testing.assert_allclose(gauge.scales, planted.gauge.scales, rtol=1e-6)


def test_whole_pipeline_recovers_noise_free_rows() -> None:
    planted = plant(Design(n=10), np.random.default_rng(5))
    rows = exact_domains(planted)
    fit = fit_domains(
        rows, 3, generator=np.random.default_rng(0), options=IcaOptions(tolerance=1e-13)
    )
    assert fit.score < 1e-12
    np.testing.assert_allclose(fit.canonical.h, planted.gauge.h, atol=1e-6)
    np.testing.assert_allclose(fit.canonical.effects, planted.gauge.effects, atol=1e-6)
    assert np.sort(fit.search.scores)[1] > 0.01


def test_gauge_freedom_changes_no_reported_effect(planted: Planted) -> None:
    h, b = np.linalg.pinv(planted.loadings), planted.b
    t = np.eye(3)
    t[1, 0] = 2.7  # z2 becomes z2 + 2.7 z1
    before = canonical(h, b)
    after = canonical(t @ h, b @ np.linalg.inv(t))
    np.testing.assert_allclose(after.h, before.h, atol=1e-10)
    np.testing.assert_allclose(after.effects, before.effects, atol=1e-10)
    x = planted.rows.pooled
    one, other = anchor(before, x), anchor(before.transform(t, np.array([0.0, 5.0, 1.0])), x)
    np.testing.assert_array_equal(one.anchors, other.anchors)
    np.testing.assert_allclose(other.gauge.effects, one.gauge.effects, atol=1e-8)
    np.testing.assert_allclose(other.gauge.h, one.gauge.h, atol=1e-8)
    np.testing.assert_allclose(other.gauge.offset, one.gauge.offset, atol=1e-6)
    np.testing.assert_allclose(other.partial, one.partial, atol=1e-8)


def test_row_signs_change_nothing(planted_fit: HierarchicalFit) -> None:
    rng = np.random.default_rng(1)
    unmixing, alignment = planted_fit.unmixing, planted_fit.alignment
    flipped = unmixing * rng.choice([-1.0, 1.0], size=(*unmixing.shape[:2], 1))
    one, other = fit_triangular(unmixing, alignment), fit_triangular(flipped, alignment)
    np.testing.assert_allclose(other.h, one.h, atol=1e-12)
    np.testing.assert_allclose(other.b, one.b, atol=1e-10)
    np.testing.assert_allclose(search(flipped).scores, search(unmixing).scores, atol=1e-12)


def test_weights_and_effects_share_one_gauge(planted_fit: HierarchicalFit) -> None:
    canonical_fit, anchored = planted_fit.canonical, planted_fit.gauge
    np.testing.assert_allclose(anchored.b @ anchored.h, canonical_fit.b @ canonical_fit.h)
    direction = np.sign(np.diagonal(anchored.b, axis1=1, axis2=2))[:, None, :]
    np.testing.assert_allclose(anchored.responses * direction, canonical_fit.responses, atol=1e-9)


def test_response_is_the_mixing_column_when_the_fit_is_exact() -> None:
    planted = plant(Design(n=10), np.random.default_rng(2))
    np.testing.assert_allclose(
        np.abs(planted.gauge.responses),
        np.abs(planted.loadings @ np.linalg.inv(planted.b)),
        atol=1e-10,
    )


def test_direct_effects_invert_the_structural_equations() -> None:
    a = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [-1.0, 2.0, 0.0]])
    scales = np.array([2.0, 0.5, 1.0])
    b = (np.eye(3) - a) / scales[:, None]
    np.testing.assert_allclose(direct_effects(b), a, atol=1e-12)
    gauge = Gauge(h=np.eye(3), b=b[None], offset=np.zeros(3))
    np.testing.assert_allclose(gauge.scales[0], scales)
    assert gauge.effects[0, 0, 2] == pytest.approx(-1.0)
    assert gauge.totals[0, 0, 2] == pytest.approx(-1.0 + 0.5 * 2.0)
