"""The runs page: filter, open, compare."""

import json
import shutil
from html import escape

import pandas as pd
import pytest

from app.panels.compare_panel import run_names, setting_rows
from app.panels.runs_panel import filtered
from workbench.batch.plan import BatchPlan
from workbench.batch.run import run_batch
from workbench.result.result import Result
from workbench.result.tables import Table
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

TEXTS = ("the cat sat .", "the red dog ran to paris")


def spec(name: str = "token-trace", model: str = "tiny:llama", **more) -> RunSpec:
    return RunSpec(
        name=name, model=ModelRef(name=model), data=DataRef(texts=TEXTS), resamples=20, **more
    )


def test_an_empty_store_offers_examples(open_page) -> None:
    page = open_page("help")
    for row in page.store.find().rows():
        page.store.remove(row["run_id"])
    page.go("runs")
    assert "No run is kept yet" in page.words
    assert not page.at.dataframe


def test_a_run_named_in_the_address_is_opened(open_page, store_path) -> None:
    run = execute(spec(), store=Store(store_path))
    page = open_page("runs", run=run.run_id)
    assert escape(run.result.summary) in page.html
    assert run.run_id in page.at.dataframe[0].value["run_id"].tolist()


def test_a_run_that_is_not_there_is_explained(open_page) -> None:
    page = open_page("runs", run="isotropy-000000000000")
    assert "run-not-found" in page.html


def test_a_damaged_run_is_explained(open_page, store_path) -> None:
    store = Store(store_path)
    run = execute(spec(), store=store)
    table = store.path(run.run_id) / "tables" / "layers.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    page = open_page("runs", run=run.run_id)
    assert "corrupt-run" in page.html


def test_filters_keep_what_was_asked_for() -> None:
    frame = pd.DataFrame(
        {
            "run_id": ["a-1", "b-2"],
            "name": ["isotropy", "logit-lens"],
            "model": ["m", "m"],
            "data": ["x.jsonl", None],
            "summary": ["Mean cosine (0.7)", "KL"],
            "status": ["complete", "failed"],
        }
    )
    assert filtered(frame, {"name": ["isotropy"]}, "")["run_id"].tolist() == ["a-1"]
    assert filtered(frame, {"name": []}, "cosine (0")["run_id"].tolist() == ["a-1"]
    assert filtered(frame, {"status": ["failed"]}, "isotropy").empty


@pytest.fixture
def two_models(store_path):
    store = Store(store_path)
    return execute(spec(), store=store), execute(spec(model="tiny:gpt2"), store=store)


def test_two_runs_are_named_by_what_differs(two_models) -> None:
    names = run_names(two_models)
    assert names == ("tiny:llama", "tiny:gpt2")
    (row,) = setting_rows(two_models, names)
    assert row == {"setting": "model.name", "tiny:llama": "tiny:llama", "tiny:gpt2": "tiny:gpt2"}


def test_a_comparison_draws_second_minus_first(open_page, two_models) -> None:
    from streamlit.testing.v1 import AppTest

    def page(left: str, right: str) -> None:
        from app.panels.compare_panel import show_comparison
        from app.panels.run_panel import stored

        show_comparison((stored(left), stored(right)))

    at = AppTest.from_function(
        page, kwargs={"left": two_models[0].run_id, "right": two_models[1].run_id}
    )
    at.run(timeout=30)
    assert not at.exception
    table = next(d.value for d in at.dataframe if "difference" in d.value.columns)
    expected = [
        two_models[1].result.estimate(n).value - two_models[0].result.estimate(n).value
        for n in table["estimate"]
    ]
    assert table["difference"].tolist() == pytest.approx(expected)
    titles = [e.proto.spec for e in at.get("plotly_chart")]
    assert any("tiny:gpt2 − tiny:llama" in spec or "\\u2212" in spec for spec in titles)


def test_the_address_holds_the_two_runs_that_are_compared(open_page, two_models) -> None:
    ids = ",".join(run.run_id for run in two_models)
    page = open_page("runs", compare=ids)
    assert "Settings that differ" in page.words
    assert page.at.query_params["compare"] == ids
    page = open_page("runs", compare="one")
    assert "expected two runs" in page.words


def test_a_long_table_is_shown_page_by_page(open_page, store_path) -> None:
    n = 40_000
    frame = pd.DataFrame({"row": range(n), "token": [f"t{i}" for i in range(n)]})
    result = Result(summary="Many rows", tables={"rows": Table(frame)})
    run = Run(spec=spec(name="isotropy"), status="complete", result=result)
    Store(store_path).put(run)
    page = open_page("runs", run=run.run_id)
    assert "Rows 1 to 5,000 of 40,000" in page.words
    (chosen,) = [box for box in page.at.number_input if box.label == "Page"]
    chosen.set_value(8)
    page.settle()
    shown = page.at.dataframe[-1].value
    assert (shown["row"].min(), shown["row"].max(), len(shown)) == (35_000, 39_999, 5_000)
    assert "Rows 35,001 to 40,000 of 40,000" in page.words


def test_an_unfinished_batch_is_shown_with_its_progress(open_page, store_path, tmp_path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS * 2))
    lens = {"name": "logit-lens", "options": {"positions": "last"}}
    plan = BatchPlan.from_dict(
        {
            "name": "overnight",
            "shard_rows": 2,
            "resamples": 20,
            "model": {"name": "tiny:llama"},
            "data": {"path": str(rows)},
            "probes": [lens],
        }
    )
    done = run_batch(plan, store=Store(store_path))
    page = open_page("runs")
    assert "overnight" not in page.words
    (done.folder / "done.json").unlink()
    shutil.rmtree(done.folder / "shards" / "000001")
    page.settle()
    assert not page.at.exception
    words = [bar.proto.text for bar in page.at.get("progress")]
    assert len(words) == 1
    assert "overnight: shard 1 of 2, 2 of 4 rows" in words[0].replace("\\", "")
