"""Subspace distances, the gate, and anchoring to benchmarks."""

import numpy as np
import pytest

from causal.hca.fit import HierarchicalFit
from causal.hca.gate import gate, subspace, subspace_distance
from causal.hca.gauge import Gauge, anchor
from causal.scores.leaderboard import ScoreTable
from causal.scores.rows import DomainRows
from workbench.errors import FitError, TooLittleData, UnknownName


def blocks(*axes: tuple[int, ...], n: int = 40) -> DomainRows:
    rng = np.random.default_rng(0)
    rows = []
    for chosen in axes:
        scale = np.full(5, 0.01)
        scale[list(chosen)] = 10.0
        rows.append(rng.standard_normal((n, 5)) * scale)
    names = tuple(f"d{i}" for i in range(len(axes)))
    return DomainRows(names=names, benchmarks=tuple("abcde"), blocks=tuple(rows))


def test_distance_is_zero_for_the_same_and_one_for_orthogonal_spaces() -> None:
    eye = np.eye(4)
    assert subspace_distance(eye[:2], eye[[1, 0]]) == pytest.approx(0.0, abs=1e-12)
    assert subspace_distance(eye[:2], eye[2:]) == pytest.approx(1.0)
    assert subspace_distance(eye[:2], eye[1:3]) == pytest.approx(0.5)


def test_gate_keeps_the_largest_agreeing_group() -> None:
    found = gate(blocks((0, 1), (0, 1), (2, 3), (0, 1)), 2)
    assert found.passed == ("d0", "d1", "d3")
    assert found.distances[0, 2] > 0.9
    assert (found.explained > 0.99).all()


def test_gate_prefers_more_rows_among_equal_groups() -> None:
    rows = blocks((0, 1), (2, 3), (0, 1), (2, 3))
    larger = rows.replace([np.repeat(b, 1 + i % 2, axis=0) for i, b in enumerate(rows.blocks)])
    assert gate(larger, 2).passed == ("d1", "d3")


def test_gate_without_agreement_keeps_one() -> None:
    assert gate(blocks((0, 1), (2, 3)), 2).passed == ("d0",)


def test_gate_ends_with_many_domains() -> None:
    axes = [(0, 1) if i % 3 else (2, 3) for i in range(36)]
    assert len(gate(blocks(*axes), 2).passed) == 24


def test_too_few_rows_for_a_subspace() -> None:
    with pytest.raises(TooLittleData, match="no 3 principal directions"):
        subspace(np.ones((2, 5)), 3)


def test_shipped_gate_keeps_the_published_five(shipped: ScoreTable) -> None:
    large = [d for d, n in shipped.domain_counts().items() if n >= 100]
    found = gate(shipped.rows(large), 3)
    assert set(found.passed) == {
        "llama-3-8b",
        "llama-3.1-8b",
        "qwen2-7b",
        "qwen2.5-7b",
        "qwen2.5-14b",
    }
    left = [found.names.index(d) for d in ("gemma-2-9b", "mistral-7b", "qwen2.5-0.5b")]
    kept = [found.names.index(d) for d in found.passed]
    assert found.distances[np.ix_(left, kept)].min() > 0.19


def test_anchoring_reads_in_points_of_the_benchmark(rng: np.random.Generator) -> None:
    x = rng.standard_normal((500, 3)) * [5.0, 3.0, 2.0] + [50.0, 40.0, 30.0]
    h = np.array([[2.0, 0.0, 0.0], [1.0, -4.0, 0.0], [0.5, 0.5, 1.0]])
    gauge = Gauge(h=h, b=np.eye(3)[None], offset=np.zeros(3))
    found = anchor(gauge, x)
    np.testing.assert_array_equal(found.anchors, [0, 1, 2])
    np.testing.assert_allclose(found.gauge.capabilities(x), x, atol=1e-8)
    np.testing.assert_allclose(found.partial[[0, 1, 2], [0, 1, 2]], 1.0, atol=1e-9)


def test_anchor_can_be_chosen_and_must_relate(rng: np.random.Generator) -> None:
    x = rng.standard_normal((200, 3))
    gauge = Gauge(h=np.eye(3)[:1], b=np.ones((1, 1, 1)), offset=np.zeros(1))
    assert anchor(gauge, x, anchors=np.array([1])).anchors[0] == 1
    x[:, 2] = 1.0
    with pytest.raises(FitError, match="capability 1 cannot be expressed"):
        anchor(gauge, x, anchors=np.array([2]))


def test_late_capability_reaches_high_r_squared_under_any_order(
    shipped_fit: HierarchicalFit,
) -> None:
    for index in range(len(shipped_fit.search.orders)):
        fit = shipped_fit.with_order(index)
        if fit.order_names[-1] in ("IFEval", "MATH Lvl 5"):
            assert fit.anchoring.r_squared[-1].max() > 0.98


def test_domain_rows_select_resample_and_shuffle(rng: np.random.Generator) -> None:
    rows = blocks((0, 1), (2, 3))
    assert rows.select(["d1"]).names == ("d1",)
    with pytest.raises(UnknownName, match="no domain 'x'"):
        rows.select(["x"])
    drawn = rows.resample(rng)
    assert drawn.counts == rows.counts
    for mine, own in zip(drawn.blocks, rows.blocks, strict=True):
        assert {tuple(row) for row in mine} <= {tuple(row) for row in own}
        assert len({tuple(row) for row in mine}) < len(own), "drawn with replacement"
    dealt = rows.shuffle(rng)
    assert dealt.counts == rows.counts
    np.testing.assert_allclose(np.sort(dealt.pooled, axis=0), np.sort(rows.pooled, axis=0))
