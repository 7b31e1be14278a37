"""The Reason page: choose a task and reasoners, solve, read them side by side."""

import time
from html import escape

import pytest

from app.panels.model_loading import LOADER
from workbench.methods.registry import plugins
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store


def test_problems_that_ship_are_open_and_solved_three_ways(open_page) -> None:
    page = open_page("reason")
    assert "An example that ships" in page.words
    table = next(d.value for d in page.at.dataframe if "difference" in d.value.columns)
    assert {"no-cot", "cot", "hrpo"} <= set(table["reasoner"])
    page.at.session_state["reason place"] = "Inside one latent chain"
    page.settle()
    assert "An example that ships" in page.words
    assert "15" in "".join(page.strips[0].words)


def test_a_reasoner_without_weights_for_the_model_is_offered_on_request_only(open_page) -> None:
    page = open_page("reason")
    (box,) = page.at.multiselect
    names = {option.split(" — ")[0] for option in box.options}
    assert {"cot", "no-cot", "soft-thinking"} <= names
    assert not {"coconut", "hrpo", "sentence-continuous"} & names
    greyed = {box.label.replace("\\", "") for box in page.at.checkbox if box.disabled}
    assert any(label.startswith("coconut: no ") for label in greyed)
    page.at.toggle(key="own weights").set_value(True)
    page.settle()
    (box,) = page.at.multiselect
    assert "coconut" in {option.split(" — ")[0] for option in box.options}


def test_two_reasoners_are_solved_and_laid_side_by_side(open_page) -> None:
    page = open_page("reason")
    (limit,) = [w for w in page.at.number_input if w.label == "How many"]
    limit.set_value(3)
    for name in ("no-cot", "cot"):
        page.at.number_input(key=f"reasoner {name} option tokens").set_value(4)
    page.settle()
    page.press("Solve")
    runs = {name: page.run(name) for name in ("no-cot", "cot")}
    assert {run.spec.data.task for run in runs.values()} == {"arithmetic?steps=1&largest=30"}
    for run in runs.values():
        assert run.status == "complete"
        assert len(run.result.table("problems").frame) == 3
        assert escape(run.result.summary) in page.html
    shown = [d.value for d in page.at.dataframe if "difference" in d.value.columns]
    assert shown[0]["reasoner"].tolist() == ["no-cot", "cot", "majority", "chance"]
    assert shown[0]["run"].tolist()[:2] == [run.run_id for run in runs.values()]


@pytest.mark.slow
def test_every_reasoner_is_shown_on_the_network_that_ships_for_it(open_page) -> None:
    names = sorted(plugin.name for plugin in plugins("reasoner"))
    task = {"data.task": "chained-sums", "data.limit": "4"}
    sums = {"chained-sums.largest": "9", "chained-sums.terms": "yes", "chained-sums.most": "3"}
    asked = {"data.reasoners": ",".join(names), **task, **sums}
    assert LOADER.model(ModelRef(name="chained-sums")).finished.wait(120)
    page = open_page("reason", model="chained-sums", **asked)
    assert page.at.multiselect[0].value == names
    began = time.process_time()
    page.press("Solve")
    spent = time.process_time() - began
    runs = {name: page.run(name) for name in names}
    assert {run.status for run in runs.values()} == {"complete"}
    assert all(len(run.result.table("problems").frame) == 4 for run in runs.values())
    shown = next(d.value for d in page.at.dataframe if "difference" in d.value.columns)
    assert set(names) <= set(shown["reasoner"])
    # Any of them is laid open step by step.
    for run in runs.values():
        assert escape(run.result.summary) in page.html
        assert run.result.tables["steps"].frame["problem"].nunique() == 4
    assert spent < 30, f"{len(names)} reasoners took {spent:.0f} s of processor time"


def test_a_task_whose_file_is_not_there_is_named(open_page) -> None:
    page = open_page("reason", **{"data.task": "csqa", "data.problems": "From a file"})
    page.at.text_input(key="file csqa").set_value("/nowhere/file.jsonl").run()
    (solve,) = [b for b in page.at.button if b.label == "Solve"]
    solve.click().run()
    assert "/nowhere/file.jsonl" in page.html
    assert "Error code" in page.html


def test_the_form_of_problems_is_restored_from_the_address(open_page) -> None:
    asked = {"data.reasoners": "cot,nonsense", "data.limit": "3", "arithmetic.steps": "2"}
    page = open_page("reason", **asked, **{"cot.tokens": "5"})
    assert "asks for what is not there: nonsense" in page.words
    assert page.at.multiselect[0].value == ["cot"]
    assert page.at.number_input(key="reasoner cot option tokens").value == 5
    assert page.at.number_input(key="task arithmetic option steps").value == 2
    assert page.at.query_params["data.limit"] == "3"


def test_runs_on_different_problems_are_not_compared(open_page, store_path) -> None:
    ids = []
    for limit in (2, 3):
        spec = RunSpec(
            kind="reasoner",
            name="no-cot",
            options={"tokens": 2},
            model=ModelRef(name="tiny:llama"),
            data=DataRef(task="arithmetic", limit=limit),
        )
        ids.append(execute(spec, store=Store(store_path)).run_id)
    page = open_page("reason", run=",".join(ids))
    assert "different problems" in page.html
