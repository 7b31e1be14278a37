"""Boolean systems: backtracking against the truth table, words and back."""

from itertools import product

import numpy as np
import pytest

from causal.counterbench import CounterBench
from causal.worlds.boolean import Counterfactual, Rule, System, worlds, would_be
from causal.worlds.boolean_text import TYPES, read_question
from workbench.errors import DataError


def _drawn(seed):
    draw = np.random.default_rng(seed)
    rules = {}
    for i in range(3, 7):
        causes = tuple(f"v{j}" for j in draw.permutation(i)[: 1 + seed % 2])
        signs = tuple(bool(x) for x in draw.random(len(causes)) < 0.5)
        rules[f"v{i}"] = Rule(causes=causes, signs=signs, joined=("and", "or")[seed // 2 % 2])
    system = System(rules=rules)
    events = list(system.order)
    observed = {events[int(draw.integers(len(events)))]: bool(draw.random() < 0.5)}
    do = {events[int(draw.integers(len(events)))]: bool(draw.random() < 0.5)}
    return system, Counterfactual(observed=observed, do=do, event=events[-1])


def _by_truth_table(system, asked):
    """Go through all assignments of all events and keep those that obey the rules."""
    events, found = list(system.order), set()
    for values in product((True, False), repeat=len(events)):
        world = dict(zip(events, values, strict=True))
        if any(rule.holds(world) != world[e] for e, rule in system.rules.items()):
            continue
        if any(world[e] != v for e, v in asked.observed.items()):
            continue
        for others in product((True, False), repeat=len(events)):
            then = dict(zip(events, others, strict=True))
            kept = all(then[e] == world[e] for e in system.exogenous if e not in asked.do)
            ruled = all(
                r.holds(then) == then[e] for e, r in system.rules.items() if e not in asked.do
            )
            if kept and ruled and all(then[e] == v for e, v in asked.do.items()):
                found.add(then[asked.event] == asked.wanted)
    return found


@pytest.mark.parametrize("seed", range(16))
def test_backtracking_agrees_with_the_truth_table(seed):
    system, asked = _drawn(seed)
    expected = _by_truth_table(system, asked)
    if not expected:
        with pytest.raises(DataError, match="observed"):
            would_be(system, asked)
        return
    found = would_be(system, asked)
    assert found.is_yes == (next(iter(expected)) if len(expected) == 1 else None)
    assert len(found.proof) == len(expected)


def test_search_finds_every_world_once():
    system, asked = _drawn(3)
    found = [tuple(w.items()) for w in worlds(system, asked.observed)]
    expected = [
        roots
        for values in product((True, False), repeat=len(system.exogenous))
        for roots in [dict(zip(system.exogenous, values, strict=True))]
        if all(system.solve(roots, {})[e] == v for e, v in asked.observed.items())
    ]
    assert len(set(found)) == len(found) == len(expected)


def test_questions_read_back_to_their_answer():
    items = CounterBench(nodes=7).items(24, np.random.default_rng(0))
    assert {i.family for i in items} == set(TYPES)
    assert [i.gold for i in items] == [0, 1] * 12
    for item in items:
        for text in (item.prompt, item.variants["relabelled"], item.variants["reordered"]):
            read = read_question(text)
            assert would_be(read.system, read.asked).is_yes == (item.gold == 0)


def test_a_released_question_is_read():
    read = read_question(
        "We know that Blaf causes Ziklo and not Trune, Ziklo or Trune causes Vork, and Vork causes "
        "Lumbo. We observed Blaf. Would not Lumbo occur if not Blaf instead of Blaf?"
    )
    assert read.system.rules["Trune"].signs == (False,)
    assert would_be(read.system, read.asked).is_yes is False


@pytest.mark.parametrize(
    ("text", "is_yes"),
    [
        ("We know that A causes B, B and A together cause C. Would C occur if not A?", False),
        ("We know that A causes B, C and not D, and not D causes E. Would E occur if A?", True),
        ("A and B together cause not C. We observed C Would C occur if not A instead of A?", True),
        ("A or B causes C. We observed not B Assume not A. Would C occur?", False),
        ("A causes B, B or C causes D. Assume not A, and based on this assumption, further suppose "
         "not C. Would D occur?", False),
        ("A causes B, B or C causes D. Assume not A, and based on this assumption, further suppose "
         "C. Would D occur?", True),
        ("A and B together cause C. Would C occur if A instead of not A?", None),
    ],
)  # fmt: skip
def test_forms_of_released_questions_are_read(text, is_yes):
    read = read_question(text)
    assert would_be(read.system, read.asked).is_yes is is_yes


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("A causes B.", "no question"),
        ("We like it. Would B occur if A instead of not A?", "no rule"),
        ("We know that A causes B, C causes B. Would B occur if A instead of not A?", "two rules"),
        ("We know that A and B or C causes D. Would D occur if A instead of not A?", "joins"),
        ("A causes B, C perhaps causes D. Would B occur if A instead of not A?", "C perhaps"),
        ("A, B causes C. Would C occur if A instead of not A?", "'A' is no rule"),
    ],
)
def test_what_cannot_be_read_is_named(text, match):
    with pytest.raises(DataError, match=match):
        read_question(text)


def test_a_circle_is_named():
    system = System(rules={"A": Rule(causes=("B",), signs=(True,)),
                           "B": Rule(causes=("A",), signs=(True,))})  # fmt: skip
    with pytest.raises(DataError, match="circle"):
        would_be(system, Counterfactual(observed={}, do={}, event="A"))
