"""What the training pass computes, against passes without a cache; and the curriculum."""

import numpy as np
import pytest
import torch
from torch import Tensor

from reasoning.coconut.presets import ABLATIONS, PRESETS
from reasoning.coconut.thought_objective import Stage, ThoughtObjective, marks_of
from tests.networks import spread_network
from workbench.errors import BadOption
from workbench.latent.thoughts import Marks
from workbench.model.model import Model
from workbench.sampling.sentences import chain_sentences
from workbench.sampling.task import open_task
from workbench.training.ablations import selected
from workbench.training.lines import Lines, Worked, block
from workbench.training.network import FullTuning, Network

TASK = "prosqa?hops=2&classes=6&brief=yes"


@pytest.fixture(scope="module")
def problems() -> list[Worked]:
    task = open_task(TASK)
    return [
        Worked(question=p.question, sentences=chain_sentences(task, p))
        for p in task.problems(6, np.random.default_rng(0))
    ]


@pytest.fixture(scope="module")
def model(problems: list[Worked]) -> Model:
    texts = [line for w in problems for line in (w.question, *w.sentences)]
    return spread_network([*texts, "\n"])


def _task(model: Model, problems: list[Worked], stage: Stage) -> tuple[ThoughtObjective, Marks]:
    weights = FullTuning(model)
    marks = marks_of(Network(weights.module), Lines(model.tokenizer))
    generator = torch.Generator().manual_seed(2)
    for vector in marks.tensors().values():
        vector.data += 0.1 * torch.randn(vector.shape, generator=generator)
    task = ThoughtObjective(weights, marks, Lines(model.tokenizer), (problems, problems[:2]), stage)
    return task, marks


def _alone(model: Model, marks: Marks, row: tuple[list[int], list[int]], stage: Stage) -> Tensor:
    """Return the states of one problem, everything run again for every thought."""
    network, (asked, written) = Network(FullTuning(model).module), row
    fed = [*network.embed(torch.tensor([asked]))[0], marks.begin]
    for _ in range(stage.thoughts):
        ones = torch.ones(1, len(fed), dtype=torch.bool)
        state = network.states(torch.stack(fed)[None], ones)[0, -1]
        fed.append(state if stage.feeds_states else marks.pause)
    fed += [marks.end, *network.embed(torch.tensor([written]))[0]]
    ones = torch.ones(1, len(fed), dtype=torch.bool)
    states = network.states(torch.stack(fed)[None], ones)[0]
    return states[-len(written) - 1 : -1]


@pytest.mark.parametrize("feeds_states", [True, False])
@pytest.mark.parametrize("thoughts", [0, 1, 3])
def test_a_padded_batch_equals_each_problem_alone(
    model: Model, problems: list[Worked], thoughts: int, feeds_states: bool
) -> None:
    stage = Stage(replaced=1, thoughts=thoughts, feeds_states=feeds_states)
    task, marks = _task(model, problems, stage)
    lines = Lines(model.tokenizer)
    rows = [
        (lines.question(w.question)[k:], [i for s in w.sentences[1:] for i in lines.sentence(s)])
        for k, w in enumerate(problems)
    ]
    ids, mask = block([written for _, written in rows], lines.pad)
    found = task.states([question for question, _ in rows], ids, mask)
    for i, (asked, written) in enumerate(rows):
        alone = _alone(model, marks, (asked, written), stage)
        torch.testing.assert_close(found[i, : len(written)], alone, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("feeds_states", [True, False])
def test_gradients_reach_what_is_fed(
    model: Model, problems: list[Worked], feeds_states: bool
) -> None:
    task, _ = _task(model, problems, Stage(replaced=2, thoughts=2, feeds_states=feeds_states))
    loss = sum(task.losses([0, 1], torch.Generator()), torch.zeros(()))
    weights = task.parameters()
    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    by_name = dict(zip(weights, gradients, strict=True))
    assert by_name["marks.begin"].abs().sum() > 0
    assert by_name["marks.end"].abs().sum() > 0
    pause = by_name["marks.pause"]
    assert (pause is None) == feeds_states
    if pause is not None:
        assert pause.abs().sum() > 0


def test_thoughts_carry_a_gradient_to_the_state_they_came_from(
    model: Model, problems: list[Worked]
) -> None:
    """Cut the attention to the question: what is left flows through the thought alone."""
    _, marks = _task(model, problems, Stage(replaced=2, thoughts=1))
    network = Network(FullTuning(model).module)
    asked = network.embed(torch.tensor([[7, 8, 9]])).detach().requires_grad_(True)
    ones = torch.ones(1, 4, dtype=torch.bool)
    thought = network.states(torch.cat([asked, marks.begin.expand(1, 1, -1)], 1), ones)[:, -1:]
    end = marks.end.expand(1, 1, -1)
    state = network.states(torch.cat([thought, end], 1), ones[:, :2])[:, -1]
    assert torch.autograd.grad(state.sum(), asked)[0].abs().sum() > 0


def test_the_answer_is_always_written(model: Model, problems: list[Worked]) -> None:
    few, many = (_task(model, problems, Stage(replaced=k, thoughts=1))[0] for k in (2, 50))
    assert few.validate() == many.validate()


def test_every_arm_makes_as_many_steps_and_ends_alike() -> None:
    sizes = PRESETS["cpu"]
    plans = {name: sizes.curriculum(arm) for name, arm in ABLATIONS.items()}
    assert len({sum(steps for _, steps in plan) for plan in plans.values()}) == 1
    assert {plan[-1][0].replaced for plan in plans.values()} == {sizes.stages}
    assert [s.thoughts for s, _ in plans["coconut"]] == [1, 2, 3]
    assert len(plans["no-curriculum"]) == 1
    assert {s.thoughts for s, _ in plans["no-thought"]} == {0}


@pytest.mark.parametrize("names", ["", "coconut,coconut", "coconut,latent"])
def test_arms_that_are_none(names: str) -> None:
    with pytest.raises(BadOption, match="coconut, pause, no-thought, no-curriculum"):
        selected(names, ABLATIONS)
