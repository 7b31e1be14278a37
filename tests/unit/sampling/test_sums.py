"""Sums: drawn, divided into parts, and verified strictly."""

import numpy as np
import pytest

from workbench.errors import TooLittleData
from workbench.sampling.task import open_task


def _draw(address, n=40):
    task = open_task(address)
    return task, task.problems(n, np.random.default_rng(0))


def test_steps_add_up_and_the_written_answer_is_right():
    task, problems = _draw("sums")
    for problem in problems:
        numbers = [int(n) for n in problem.question.rstrip("=").split("+")]
        assert int(problem.answer) == sum(numbers)
        assert len(problem.steps) == 2
        assert all(eval(step.replace("=", "==")) for step in problem.steps)
        assert task.is_correct(problem, f"{'; '.join(problem.steps)} #### {problem.answer}")
        assert not task.is_correct(problem, f"#### {int(problem.answer) + 1}")
        assert not task.is_correct(problem, problem.answer)
        assert task.prompt(problem) == problem.question


def test_parts_share_no_problem():
    _, train = _draw("sums?part=train", 300)
    _, test = _draw("sums?part=test", 300)
    assert not {p.question for p in train} & {p.question for p in test}


def test_there_are_only_so_many():
    with pytest.raises(TooLittleData, match="different sums"):
        _draw("sums?terms=2&largest=2", 5)
