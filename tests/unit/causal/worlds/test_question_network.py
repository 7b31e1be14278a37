"""Premises with many questions each: labels, the held-out part, and what a question may see."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
import torch

from causal.corr2cause import Corr2Cause
from causal.train_question_network import TrainQuestionNetwork
from causal.worlds.dags import bits
from causal.worlds.question_objective import QuestionObjective
from causal.worlds.question_packs import PackSource, is_held_out, worlds
from workbench.errors import BadOption
from workbench.methods.contracts import Context
from workbench.sampling.choice_scores import LEAD

SOURCE = PackSource(nodes=3, letters=4, wording="brief", asked=6)


def test_classes_of_named_nodes_are_counted_as_is_known():
    assert [len(worlds(n)) for n in (2, 3)] == [2, 11]
    with pytest.raises(BadOption, match="nodes=5"):
        worlds(5)


def test_both_parts_are_told_apart_by_what_a_premise_says_whatever_the_order_of_names():
    draw = np.random.default_rng(0)
    held, rest = (SOURCE.draw(60, draw, held_out=x) for x in (True, False))
    assert not {p.premise for p in held} & {p.premise for p in rest}
    parts, orders = set(), list(permutations(range(3)))
    for names, world, order in product(combinations("ABCDEF", 3), worlds(3), orders):
        place = [order.index(v) for v in range(3)]
        found = tuple(
            (*sorted((place[x], place[y])), sum(1 << place[v] for v in bits(z)))
            for x, y, z in world.separations
        )
        parts.add(own := is_held_out(names, world.separations))
        assert is_held_out(tuple(names[v] for v in order), found) is own
    assert parts == {True, False}


def test_answers_of_packs_are_those_of_the_task():
    told = {i.prompt: i.gold for i in Corr2Cause(nodes=3, wording="brief", letters=3).items(
        200, np.random.default_rng(0))}  # fmt: skip
    source = PackSource(nodes=3, letters=3, wording="brief", asked=36)
    packs = [
        p for x in (False, True) for p in source.draw(40, np.random.default_rng(1), held_out=x)
    ]
    both = [(i.gold, told[i.prompt]) for p in packs for i in p.items("g") if i.prompt in told]
    assert len(both) > 40
    assert all(mine == theirs for mine, theirs in both)


def test_a_question_sees_its_premise_and_itself_alone():
    base = TrainQuestionNetwork(preset="tiny").base_model(
        Context(task="corr2cause?nodes=3&wording=brief&letters=4")
    )
    packs = SOURCE.draw(2, np.random.default_rng(3), held_out=False)
    objective = QuestionObjective(base, SOURCE, batch=2, held_out=packs)
    losses = []
    for pack in packs:
        for end, is_yes in zip(pack.questions, pack.answers, strict=True):
            logits = base.run([pack.premise + end + LEAD], logits="last").logits[0, -1]
            token = objective.spelling()["answers"][int(not is_yes)]
            losses.append(float(-torch.log_softmax(torch.as_tensor(logits), dim=-1)[token]))
    with torch.no_grad():
        assert objective.validate() == pytest.approx(np.mean(losses), abs=1e-5)


def test_a_task_that_is_not_drawn_is_refused():
    with pytest.raises(BadOption, match="corr2cause"):
        TrainQuestionNetwork().base_model(Context(task="counterbench"))
