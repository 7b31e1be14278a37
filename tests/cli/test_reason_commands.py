"""`workbench reason`: tasks, reasoners, one run and a comparison, on a tiny model."""

import json
from collections.abc import Callable

from click.testing import Result

Invoke = Callable[..., Result]

MODEL = ("--model", "tiny:llama")
TASK = ("--task", "arithmetic?steps=1&examples=no", "--limit", "5")


def test_lists_and_pages(invoke: Invoke) -> None:
    names = [row["name"] for row in json.loads(invoke("reason", "list", "--json").stdout)]
    assert "cot" in names
    assert json.loads(invoke("reason", "show", "cot", "--json").stdout)["kind"] == "reasoner"
    tasks = {row["name"]: row for row in json.loads(invoke("reason", "tasks", "--json").stdout)}
    assert "largest" in tasks["arithmetic"]["options"]


def test_run_keeps_the_chains(invoke: Invoke) -> None:
    done = json.loads(
        invoke("reason", "run", "cot", *TASK, *MODEL, "--limit", "5", "--json").stdout
    )
    assert done["status"] == "complete"
    tables = done["tables"]
    assert len(tables["problems"]) == 5
    assert {row["stage"] for row in tables["costs"]} >= {"prefill", "reasoning", "total"}
    assert invoke("reason", "run", "cot", *TASK, *MODEL).exit_code == 0


def test_compare_prints_baselines_and_costs(invoke: Invoke) -> None:
    names = ("cot?tokens=4", "cot?tokens=8")
    done = json.loads(invoke("reason", "compare", *names, *TASK, *MODEL, "--json").stdout)
    rows = {row["reasoner"]: row for row in done["tables"]["comparison"]}
    assert set(rows) == {*names, "majority", "chance"}
    assert rows["cot?tokens=8"]["share_last"] > 1
    assert invoke("reason", "compare", *names, *TASK, *MODEL, "--csv").stdout.startswith("reasoner")


def test_what_cannot_be_met_is_said(invoke: Invoke) -> None:
    assert "--task" in invoke("reason", "run", "cot", *MODEL, code=2).output
    wrong = invoke("reason", "compare", "no-such", *TASK, *MODEL, code=2).output
    assert "no reasoner is called" in wrong
    assert "no task is called" in invoke(
        "reason", "run", "cot", "--task", "nothing", *MODEL, code=2
    ).output  # fmt: skip


def test_a_reasoner_that_does_not_apply_is_left_out_and_named(invoke: Invoke) -> None:
    names = ("cot?tokens=4", "sentence-continuous")
    out = invoke("reason", "compare", *names, *TASK, *MODEL, "--json", code=1)
    rows = [row["reasoner"] for row in json.loads(out.stdout)["tables"]["comparison"]]
    assert rows == ["cot?tokens=4", "majority", "chance"]
    assert "left out: sentence-continuous: no pair of sentence codec" in out.stderr
    alone = invoke("reason", "compare", "sentence-continuous", *TASK, *MODEL, code=2)
    assert "error: sentence-continuous" in alone.stderr


def test_a_task_that_the_model_cannot_read_is_said(invoke: Invoke) -> None:
    asked = ("--task", "prosqa", "--limit", "2", "--model", "blocksworld-sentences")
    done = invoke("reason", "compare", "no-cot", "cot?tokens=2", *asked, "--json")
    notes = [note["text"] for note in json.loads(done.stdout)["notes"]]
    assert notes[0].startswith("this task is not for blocksworld-sentences: 8")
    assert "warning: this task is not for" in done.stderr
    assert "no-cot: 2 chains were ended by the limit on steps" in notes
