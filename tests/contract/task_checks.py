"""What tasks promise, and what searches for graphs recover."""

from dataclasses import replace

import numpy as np
import pytest

from tests.contract.case import Case
from tests.contract.material import searched_table, table_for, task_address
from workbench.errors import DataError, WorkbenchError
from workbench.methods.contracts import Context
from workbench.sampling.evaluation import judge
from workbench.sampling.sentences import answer_lead, chain_sentences
from workbench.sampling.task import open_task


def the_order_of_rows_does_not_move_the_graph(case: Case) -> None:
    recipe = replace(case.recipe, resamples=0)
    table = table_for(case.name)
    turned = replace(table, frame=table.frame.iloc[::-1].reset_index(drop=True))
    one, other = (recipe.fit(t, Context(resamples=0)).graph for t in (table, turned))
    assert _weights(one) == pytest.approx(_weights(other), rel=1e-2, abs=1e-2)


def _weights(graph) -> dict[str, float]:
    return {
        f"{e.group} {e.cause} {e.effect} {e.mark}": float(e.weight.value) if e.weight else 0.0
        for e in graph.edges
        if e.weight is None or e.weight.value is not None
    }


# --- what was planted


def a_planted_graph_is_found_and_lost_when_columns_are_shuffled(case: Case) -> None:
    recipe = replace(case.recipe, resamples=0)
    table = searched_table()
    assert len(PLANTED & _adjacent(recipe, table)) >= 3
    frame, draw = table.frame.copy(), np.random.default_rng(0)
    for name in frame.columns[2:]:
        frame[name] = draw.permutation(frame[name].to_numpy())
    assert len(PLANTED & _adjacent(recipe, replace(table, frame=frame))) <= 1


PLANTED = {frozenset(p) for p in (("v0", "v1"), ("v1", "v3"), ("v2", "v3"), ("v3", "v4"))}


def _adjacent(recipe, table) -> set[frozenset[str]]:
    try:
        graph = recipe.fit(table, Context(resamples=0)).graph
    except WorkbenchError:
        return set()
    # A small weight is no edge: some of these searches keep every pair.
    return {
        frozenset((e.cause, e.effect))
        for e in graph.edges
        if e.weight is None or e.weight.value is None or abs(e.weight.value) > 0.3
    }


# --- what a task is


def _problems(case: Case, seed: int = 0, limit: int = 6):
    return open_task(task_address(case.name)).problems(limit, np.random.default_rng(seed))


def the_same_seed_draws_the_same_problems(case: Case) -> None:
    one, again = _problems(case), _problems(case)
    assert one == again
    assert len({problem.id for problem in one}) == len(one) > 1
    assert len(_problems(case, limit=2)) == 2


def another_seed_draws_other_problems(case: Case) -> None:
    questions = [[p.question for p in _problems(case, seed=seed)] for seed in (0, 1)]
    assert questions[0] != questions[1]


def reference_answers_are_right_and_those_of_others_wrong(case: Case) -> None:
    task, problems = open_task(task_address(case.name)), _problems(case)
    said = [f"{answer_lead(task_address(case.name))} {p.answer}" for p in problems]
    for problem, answer in zip(problems, said, strict=True):
        assert problem.answer in chain_sentences(task, problem)[-1]
        assert judge(task, problem, answer).is_correct, (problem.question, answer)
        assert not task.is_correct(problem, "")
    others = said[1:] + said[:1]
    shuffled = [task.is_correct(p, a) for p, a in zip(problems, others, strict=True)]
    assert sum(shuffled) < len(problems) / 2


def a_file_that_is_missing_is_named(case: Case) -> None:
    with pytest.raises(DataError, match=r"gone\.json"):
        open_task(f"{case.name}:gone.json")
