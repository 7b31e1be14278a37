"""Criteria of causal graphs against the intervened model, and known identifiable effects."""

from itertools import combinations

import numpy as np
import pytest

from causal.worlds.binary_model import BinaryModel
from causal.worlds.dags import bits, children, closure, from_edges, subsets
from causal.worlds.graph_criteria import (
    are_instruments,
    is_back_door,
    is_front_door,
    is_identifiable,
    is_smallest_back_door,
)


def _model(dag, draw):
    names = tuple("abcde"[: len(dag)])
    parents = {v: tuple(names[p] for p in bits(dag[i])) for i, v in enumerate(names)}
    tables = {v: draw.uniform(0.1, 0.9, size=(2,) * len(p)) for v, p in parents.items()}
    return BinaryModel(names=names, parents=parents, tables=tables)


def _graphs(n, count, draw):
    for _ in range(count):
        order = draw.permutation(n)
        kept = [p for p in combinations(range(n), 2) if draw.random() < 0.6]
        yield from_edges(n, tuple((int(order[a]), int(order[b])) for a, b in kept))


def _law(joint, kept):
    """Return the law of some variables, the axes of the others kept at length one."""
    return joint.sum(axis=tuple(set(range(joint.ndim)) - set(kept)), keepdims=True)


def test_sets_that_meet_the_back_door_criterion_are_those_whose_formula_gives_the_effect():
    draw, seen = np.random.default_rng(0), set()
    for dag in _graphs(4, 25, draw):
        model, x, y = _model(dag, draw), 0, 1
        joint, truth = model.joint(), model.p({"b": 1}, do={"a": 1})
        below = closure(1 << x, children(dag))
        for given in subsets(0b1100):
            z = list(bits(given))
            if given & below:
                assert not is_back_door(dag, x, y, given)
                continue
            # P(y, x, z) / P(x, z) · P(z), summed over z
            adjusted = _law(joint, [x, y, *z]) / _law(joint, [x, *z]) * _law(joint, z)
            found = float(np.take(np.take(adjusted, 1, axis=x), 1, axis=y - 1).sum())
            is_met = is_back_door(dag, x, y, given)
            seen.add(is_met)
            assert (abs(found - truth) < 1e-9) is is_met
    assert seen == {True, False}


def test_sets_that_meet_the_front_door_criterion_give_the_effect():
    draw, n_met = np.random.default_rng(1), 0
    for dag in _graphs(4, 120, draw):
        if not is_front_door(dag, 0, 1, 0b100):
            continue
        n_met += 1
        joint = _model(dag, draw).joint()
        of_m = _law(joint, [2, 0]) / _law(joint, [0])
        of_y = (_law(joint, [1, 2, 0]) / _law(joint, [2, 0]) * _law(joint, [0])).sum(
            0, keepdims=True
        )
        found = (of_m * of_y).sum(axis=2, keepdims=True)[1, 1].item()
        assert found == pytest.approx(_model_effect(dag, joint), abs=1e-9)
    assert n_met >= 3


def _model_effect(dag, joint):
    """Return P(y=1 | do(x=1)) by the truncated product."""
    law = np.ones((1,) * joint.ndim)
    for v in range(1, len(dag)):
        law = law * _law(joint, [v, *bits(dag[v])]) / _law(joint, list(bits(dag[v])))
    kept = np.take(law, [law.shape[0] - 1], axis=0)
    return float(kept.sum(axis=(0, 2, 3)).ravel()[1])


def test_front_door_sets_are_refused_where_a_cause_is_shared():
    chain = from_edges(3, ((0, 2), (2, 1)))
    assert is_front_door(chain, 0, 1, 0b100)
    shared = from_edges(4, ((0, 2), (2, 1), (3, 0), (3, 2)))
    assert not is_front_door(shared, 0, 1, 0b100)
    past = from_edges(3, ((0, 2), (2, 1), (0, 1)))
    assert not is_front_door(past, 0, 1, 0b100)


def test_the_smallest_sets_and_instruments_of_a_known_graph():
    # c ← d → b, c → a → b
    dag = from_edges(4, ((3, 2), (3, 1), (2, 0), (0, 1)))
    met = [s for s in subsets(0b1100) if is_smallest_back_door(dag, 0, 1, s)]
    assert met == [0b0100, 0b1000]
    assert is_back_door(dag, 0, 1, 0b1100)
    iv = from_edges(4, ((2, 0), (3, 0), (3, 1), (0, 1)))
    assert are_instruments(iv, 0, 1, 0b0100)
    assert not are_instruments(iv, 0, 1, 0b1100)
    assert not are_instruments(iv, 0, 0, 0b0100)


@pytest.mark.parametrize(
    ("edges", "hidden", "is_known"),
    [
        (((0, 1),), ((0, 1),), False),  # bow
        (((0, 2), (2, 1)), ((0, 1),), True),  # front door
        (((2, 0), (0, 1)), ((0, 1),), False),  # instrument
        (((2, 3), (3, 0), (0, 1)), ((2, 0), (2, 1)), True),  # napkin
        (((0, 2), (2, 1)), ((0, 2),), False),
        (((0, 1), (2, 1)), ((0, 2), (2, 1)), False),
        (((1, 0),), ((0, 1),), True),  # no cause at all
    ],
)
def test_effects_that_are_known_to_be_identifiable_or_not(edges, hidden, is_known):
    n = 1 + max(max(e) for e in (*edges, *hidden))
    joined = [0] * n
    for a, b in hidden:
        joined[a] |= 1 << b
        joined[b] |= 1 << a
    assert is_identifiable(from_edges(n, edges), joined, 0, 1) is is_known
