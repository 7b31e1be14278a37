"""What every plugin promises, as plain functions that fail on one that breaks its promise.

A check takes a case: a registered plugin, and its quick run where it needs one.
"""

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.contract.case import Case, assert_same_tables, is_clock
from tests.contract.running import setup
from tests.contract.task_checks import (
    a_file_that_is_missing_is_named,
    a_planted_graph_is_found_and_lost_when_columns_are_shuffled,
    another_seed_draws_other_problems,
    reference_answers_are_right_and_those_of_others_wrong,
    the_order_of_rows_does_not_move_the_graph,
    the_same_seed_draws_the_same_problems,
)
from workbench.errors import BadOption, WorkbenchError
from workbench.methods.contracts import Context, Prompt
from workbench.options import build, describe, plain
from workbench.result.views import view_from_dict, view_to_dict
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef
from workbench.sampling.prompting import prompt_ids, stop_ids
from workbench.sampling.task import open_task

# --- what a plugin is


def it_is_a_frozen_recipe(case: Case) -> None:
    recipe = case.plugin.recipe
    made = recipe()
    assert dataclasses.is_dataclass(made)
    assert recipe.__dataclass_params__.frozen
    assert made == recipe()
    with pytest.raises(TypeError):
        recipe(*range(1, len(dataclasses.fields(recipe)) + 2))


def its_options_explain_themselves_and_round_trip(case: Case) -> None:
    recipe = case.plugin.recipe
    infos = describe(recipe)
    assert {info.name for info in infos} == {f.name for f in dataclasses.fields(recipe)}
    for info in infos:
        assert info.help.endswith("."), info.name
        assert len(info.help) <= 100, info.name
    values = plain(recipe())
    assert json.loads(json.dumps(values)) == values
    assert build(recipe, values) == recipe()


def its_docstring_tells_what_it_is(case: Case) -> None:
    assert case.plugin.summary.endswith(".")
    assert len(case.plugin.summary) <= 100
    assert "Raises:" not in case.plugin.summary


def its_docstring_tells_units(case: Case) -> None:
    assert "Units:" in case.plugin.description


def it_names_its_source(case: Case) -> None:
    assert case.plugin.source


def it_takes_something_known(case: Case) -> None:
    known = {"task": "nothing", "discovery": "table", "question": "graph", "refuter": "graph"}
    given = ("texts", "labelled texts", "task")
    expected = known.get(case.kind)
    assert case.plugin.takes == expected or (expected is None and case.plugin.takes in given)


def wrong_options_are_named(case: Case) -> None:
    recipe = case.plugin.recipe
    with pytest.raises(BadOption, match="no_such_option"):
        build(recipe, {"no_such_option": 1})
    for info in case.plugin.options:
        bound = info.low if info.low is not None else info.high
        if bound is None:
            continue
        beyond = bound - 1 if info.low is not None else bound + 1
        with pytest.raises(BadOption, match=info.name):
            build(recipe, {info.name: [beyond] if info.repeated else beyond})


# --- what a run gives


def the_same_seed_gives_the_same_numbers(case: Case) -> None:
    first, again = case.result, case.run(repeat=1).result
    assert first is not again
    assert_same_tables(first, again, rtol=0, atol=0)
    timed = {e.name for e in first.estimates if is_clock(e.name, e.unit)}
    for one, other in zip(first.estimates, again.estimates, strict=True):
        assert one == other or one.name in timed
    assert first.graph == again.graph
    assert first.arrays.keys() == again.arrays.keys()
    for key, array in first.arrays.items():
        assert np.array_equal(array, again.arrays[key]), key


def numbers_are_finite_and_carry_their_unit(case: Case) -> None:
    result = case.result
    assert result.summary
    assert result.estimates or case.kind == "discovery"
    for estimate in result.estimates:
        assert estimate.n >= 1, estimate.name
        assert estimate.n_unit not in ("", "tokens"), estimate.name
        assert estimate.value is not None or estimate.note, estimate.name
        if estimate.low is not None and estimate.high is not None:
            assert estimate.low <= estimate.high, estimate.name
    assert len({e.name for e in result.estimates}) == len(result.estimates)
    for title, table in result.tables.items():
        numbers = table.frame.select_dtypes("number")
        assert not np.isinf(numbers.to_numpy(dtype=np.float64, na_value=np.nan)).any(), title
    for title, array in result.arrays.items():
        assert array.dtype.kind != "f" or np.isfinite(array).all(), title


def a_control_stands_beside_the_numbers(case: Case) -> None:
    result = case.result
    in_estimates = any(e.control is not None for e in result.estimates)
    in_views = any(view_to_dict(view).get("control") for view in result.views)
    columns = [c for table in result.tables.values() for c in table.columns.values()]
    assert in_estimates or in_views or any(column.control_of for column in columns)


def views_name_what_the_result_holds(case: Case) -> None:
    result = case.result
    assert result.views
    for view in result.views:
        assert view_from_dict(json.loads(json.dumps(view_to_dict(view)))) == view
        named = view_to_dict(view)
        table = result.tables.get(named.get("table", ""))
        if table is None:
            assert type(view).__name__ == "GraphView" or named["table"] in result.arrays
            continue
        for role in ("x", "y", "row", "column", "value", "token", "group", "control", "label"):
            for column in (
                [named[role]] if isinstance(named.get(role), str) else named.get(role, ())
            ):
                assert not column or column in table.frame, (view.title, role, column)


def every_column_is_described(case: Case) -> None:
    for title, table in case.result.tables.items():
        known = set(table.columns)
        known |= {bound for c in table.columns.values() for bound in (c.low, c.high)}
        for column in table.frame.select_dtypes("float"):
            assert column in known, (title, column)


def a_stored_result_comes_back_the_same(case: Case) -> None:
    outcome = case.run()
    found = outcome.store.get(outcome.run.run_id)
    assert found.result is not outcome.result
    assert found.result.equals(outcome.result)
    json.dumps(outcome.run.as_dict(), allow_nan=False)


def wrong_input_is_named(case: Case) -> None:
    """Input of another kind, or none, gives an error with a name and a hint, never a crash."""
    spec = setup(case.kind, case.name).spec
    wrong = {
        "texts": {"data": DataRef(task="sums")},
        "labelled texts": {"data": DataRef(texts=("one", "two"))},
        "task": {"data": DataRef(task="no-such-task")},
        "table": {"data": DataRef(path="no-such-table.csv")},
        "graph": {"graph": ""},
    }[case.plugin.takes]
    store, model = case.run().store, case.run().setup.model
    assert _error_code(replace(spec, **wrong), store, model) not in (None, "unexpected")


def _error_code(spec, store, model) -> str | None:
    try:
        run = execute(spec, store=store, model=model)
    except WorkbenchError as error:
        return error.code
    return run.failure and run.failure.code


# --- what does not move a number


def batches_do_not_move_a_number(case: Case) -> None:
    small, whole = case.run(batch_tokens=16).result, case.result
    assert_same_tables(small, whole, rtol=5e-3, atol=1e-3)


def the_order_of_problems_does_not_move_an_answer(case: Case) -> None:
    made = setup(case.kind, case.name)
    task, context = open_task(made.spec.data.task), Context(task=made.spec.data.task)
    problems = task.problems(4, context.stream("problems"))
    ends = stop_ids(made.model, task)
    prompts = [
        Prompt(question=p.question, ids=prompt_ids(made.model, task, p), stop_ids=ends)
        for p in problems
    ]
    seeds = [11, 12, 13, 14]
    solve = case.recipe.solve
    told = [chain.response for chain in solve(made.model, prompts, seeds=seeds, context=context)]
    turned = solve(made.model, prompts[::-1], seeds=seeds[::-1], context=context)
    alone = solve(made.model, prompts[:1], seeds=seeds[:1], context=context)
    assert [chain.response for chain in turned][::-1] == told
    assert alone[0].response == told[0]


IS_A_RECIPE = (
    it_is_a_frozen_recipe,
    its_options_explain_themselves_and_round_trip,
    its_docstring_tells_what_it_is,
    it_names_its_source,
    it_takes_something_known,
    wrong_options_are_named,
)


RUNS = (
    its_docstring_tells_units,
    the_same_seed_gives_the_same_numbers,
    numbers_are_finite_and_carry_their_unit,
    views_name_what_the_result_holds,
    every_column_is_described,
    a_stored_result_comes_back_the_same,
    wrong_input_is_named,
)


CHECKS: dict[str, tuple[Callable[[Case], None], ...]] = {
    "probe": (*IS_A_RECIPE, *RUNS, a_control_stands_beside_the_numbers),
    "reasoner": (
        *IS_A_RECIPE,
        *RUNS,
        a_control_stands_beside_the_numbers,
        the_order_of_problems_does_not_move_an_answer,
    ),
    "recipe": (*IS_A_RECIPE, *RUNS, a_control_stands_beside_the_numbers),
    "discovery": (
        *IS_A_RECIPE,
        *RUNS,
        the_order_of_rows_does_not_move_the_graph,
        a_planted_graph_is_found_and_lost_when_columns_are_shuffled,
    ),
    "question": (*IS_A_RECIPE, *RUNS),
    "refuter": (*IS_A_RECIPE, *RUNS),
    "task": (
        *IS_A_RECIPE,
        the_same_seed_draws_the_same_problems,
        another_seed_draws_other_problems,
        reference_answers_are_right_and_those_of_others_wrong,
        a_file_that_is_missing_is_named,
    ),
}
