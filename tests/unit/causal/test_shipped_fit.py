"""The shipped leaderboard under the fit: what was published, and what it does not show."""

import numpy as np
import pytest

from causal.hca.fit import HierarchicalFit, fit_domains
from causal.identification.judging import choose_domains
from causal.identification.published import (
    EFFECTS,
    WEIGHTS,
    beside_published,
    in_published_order,
    mixed_gauge_effects,
)
from causal.scores.leaderboard import ScoreTable


def test_orders_ending_in_mathematics_win_and_the_first_two_are_close(
    shipped_fit: HierarchicalFit,
) -> None:
    scores = {
        tuple(shipped_fit.names[c] for c in order): score
        for order, score in zip(shipped_fit.search.orders, shipped_fit.search.scores, strict=True)
    }
    last = {order: score for order, score in scores.items() if order[-1] == "MATH Lvl 5"}
    assert max(last.values()) < 0.03
    assert min(s for o, s in scores.items() if o not in last) > 0.06
    assert shipped_fit.search.gap == pytest.approx(0.0032, abs=2e-4)
    assert shipped_fit.score == pytest.approx(0.0253, abs=2e-4)


def test_published_weights_are_reproduced(shipped_fit: HierarchicalFit) -> None:
    ours = in_published_order(shipped_fit)
    assert ours is not None
    for own, published in zip(ours.gauge.h, WEIGHTS, strict=True):
        cosine = own @ published / np.linalg.norm(own) / np.linalg.norm(published)
        assert cosine > 0.98
    assert ours.anchor_names == ("MMLU-PRO", "IFEval", "MATH Lvl 5")
    np.testing.assert_allclose(ours.anchoring.r_squared[0, [5, 1]], [0.945, 0.941], atol=0.006)


def test_published_effects_come_from_two_gauges(shipped_fit: HierarchicalFit) -> None:
    ours = in_published_order(shipped_fit)
    assert ours is not None
    printed = np.array([EFFECTS[name] for name in ours.rows.names])
    steps = ([0, 1, 0], [1, 2, 2])
    one_gauge = ours.gauge.effects[:, steps[0], steps[1]]
    mixed = mixed_gauge_effects(ours, flipped=True)[:, steps[0], steps[1]]
    assert np.abs(mixed - printed).mean() < 0.15
    assert np.abs(one_gauge - printed).mean() > 0.5
    # In one gauge the direct effect of the general capability on mathematics is about one half.
    np.testing.assert_allclose(one_gauge[:, 2], 0.48, atol=0.07)
    # The mixture depends on arbitrary signs; one gauge does not.
    assert np.abs(mixed_gauge_effects(ours) - mixed_gauge_effects(ours, flipped=True)).max() > 0.5


def test_everything_published_stands_beside_ours(
    shipped: ScoreTable, shipped_fit: HierarchicalFit
) -> None:
    five = [*shipped_fit.rows.names, "qwen2-7b"]
    candidates = choose_domains(shipped.rows(five), 3, generator=np.random.default_rng(0))
    assert set(candidates.best.names) == set(shipped_fit.rows.names)
    table = beside_published(shipped, candidates, shipped_fit)
    assert table is not None
    assert len(table) == 52
    assert table.frame["here"].notna().all()
    assert table.frame["why"].str.len().min() > 10
    three = candidates.rows.select(five[:3])
    rest = choose_domains(three, 3, generator=np.random.default_rng(0))

    other = fit_domains(three, 3, generator=np.random.default_rng(0))
    assert beside_published(shipped, rest, other) is None
