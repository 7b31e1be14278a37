"""The networks of the comparison of reasoners that ship: every way answers the same sums."""

import numpy as np
import pytest

from workbench.methods.contracts import Context, Prompt
from workbench.methods.registry import find
from workbench.model.loading import load_model
from workbench.model.shipped import shipped_folder
from workbench.runs.bench.reasoner_plan import CONTROL_TASK, TASKS
from workbench.sampling.evaluation import judge
from workbench.sampling.prompting import prompt_ids, stop_ids
from workbench.sampling.task import open_task
from workbench.training.splits import part_address


def _right(model, reasoner, n=4):
    address = part_address(TASKS[CONTROL_TASK].address, "test")
    task, model = open_task(address), load_model(model, device="cpu")
    problems = task.problems(n, np.random.default_rng(0))
    prompts = [
        Prompt(question=p.question, ids=prompt_ids(model, task, p), stop_ids=stop_ids(model, task))
        for p in problems
    ]
    built = find("reasoner", reasoner).recipe(tokens=24)
    chains = built.solve(model, prompts, seeds=range(n), context=Context(seed=0, task=address))
    assert all(task.extract(chain.response) for chain in chains)
    return [
        judge(task, p, c.response, is_cut=not c.is_finished).is_correct
        for p, c in zip(problems, chains, strict=True)
    ]


@pytest.mark.parametrize(
    ("model", "reasoner"),
    [
        ("chained-sums-answers", "cot"),
        ("chained-sums", "coconut"),
        ("chained-sums", "sentence-continuous"),
        ("chained-sums", "hrpo"),
    ],
)
def test_every_way_finds_what_ships_for_it_and_answers(model, reasoner):
    assert len(_right(model, reasoner)) == 4


def test_chains_in_words_are_right():
    assert all(_right("chained-sums-chains", "cot"))


def test_no_network_that_ships_is_larger_than_a_megabyte():
    models = shipped_folder(CONTROL_TASK).parent
    folders = [*models.glob(f"{CONTROL_TASK}*")]
    assert len(folders) == 7
    for folder in folders:
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 1_000_000
