"""The search equals brute force, and knows when orders cannot be told apart."""

from itertools import permutations, product

import numpy as np
import pytest

from causal.hca import alignment
from causal.hca.alignment import score_orders, search
from causal.hca.triangular import fit_triangular
from causal.planted.simulate import Design, plant
from workbench.errors import BadOption


def brute_force(unmixing: np.ndarray, reference: int) -> dict[tuple[int, ...], float]:
    count, k = unmixing.shape[:2]
    best: dict[tuple[int, ...], float] = {}
    for rows in product(permutations(range(k)), repeat=count):
        score = fit_triangular(unmixing, np.array(rows)).score
        best[rows[reference]] = min(score, best.get(rows[reference], np.inf))
    return best


@pytest.mark.parametrize("reference", [0, 2])
def test_search_equals_brute_force(rng: np.random.Generator, reference: int) -> None:
    unmixing = rng.standard_normal((3, 3, 5))
    expected = brute_force(unmixing, reference)
    found = search(unmixing, reference=reference)
    for order, score, rows in zip(found.orders, found.scores, found.alignments, strict=True):
        assert score == pytest.approx(expected[order], abs=1e-12)
        assert tuple(rows[reference]) == order
        assert fit_triangular(unmixing, rows).score == pytest.approx(score, abs=1e-12)


def test_pruned_search_equals_full_search(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    unmixing = rng.standard_normal((4, 3, 6))
    full = search(unmixing)
    monkeypatch.setattr(alignment, "CHUNK", 50)
    monkeypatch.setattr(alignment, "BEAM", 2)
    pruned = search(unmixing)
    np.testing.assert_allclose(pruned.scores, full.scores, atol=1e-14)
    np.testing.assert_array_equal(pruned.alignments, full.alignments)


def test_ceiling_keeps_scores_below_it(rng: np.random.Generator) -> None:
    unmixing = rng.standard_normal((3, 3, 6))
    full = search(unmixing).scores
    ceiling = float(np.median(full))
    capped = search(unmixing, ceiling=ceiling).scores
    np.testing.assert_allclose(capped, np.minimum(full, ceiling), atol=1e-14)


@pytest.mark.parametrize("heterogeneity", ["none", "scale"])
def test_alike_domains_fit_every_order(heterogeneity: str) -> None:
    planted = plant(Design(n=10, heterogeneity=heterogeneity), np.random.default_rng(0))  # type: ignore[arg-type]
    scores = search(planted.unmixing).scores
    assert scores.max() < 1e-12


def test_one_domain_fits_every_order(rng: np.random.Generator) -> None:
    assert search(rng.standard_normal((1, 3, 6))).scores.max() < 1e-12


def test_scores_of_one_match_are_those_of_its_reorderings(rng: np.random.Generator) -> None:
    unmixing = rng.standard_normal((3, 3, 6))
    found = search(unmixing)
    alignment = found.alignments[found.best]
    orders, scores = score_orders(unmixing, alignment)
    assert scores[orders.index((0, 1, 2))] == pytest.approx(found.scores.min(), abs=1e-12)
    for order, score in zip(orders, scores, strict=True):
        expected = fit_triangular(unmixing, alignment[:, list(order)]).score
        assert score == pytest.approx(expected, abs=1e-12)


def test_unknown_reference_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(BadOption, match="expected 0 to 1"):
        search(rng.standard_normal((2, 2, 3)), reference=2)
