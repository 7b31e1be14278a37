"""The Questions page: what a model chose beside the computed answer, and the proof as graphs."""

from html import escape

from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store


def test_questions_that_ship_are_open_with_a_proof(open_page) -> None:
    page = open_page("questions")
    assert "An example that ships" in page.words
    assert "Computed: " in page.words
    assert page.figure("Proof")


def test_a_question_stands_beside_both_answers_and_its_proof(open_page, store_path) -> None:
    spec = RunSpec(
        kind="probe",
        name="choices",
        options={"variants": False},
        model=ModelRef(name="tiny:llama"),
        data=DataRef(task="corr2cause?nodes=3", limit=4),
    )
    run = execute(spec, store=Store(store_path))
    page = open_page("questions", run=run.run_id)
    row = run.result.table("items").rows()[0]
    (shown,) = [d.value for d in page.at.dataframe if "margin" in d.value.columns]
    assert shown["answer"].tolist() == ["Yes", "No"] * 2
    assert escape(row["prompt"]) in escape(page.words)
    assert f"Computed: {row['answer']}" in page.words
    figure = page.figure("Proof")
    names = {t for trace in figure["data"] for t in trace.get("text") or ()}
    assert set(row["nodes"]) <= names


def test_rows_that_could_not_be_asked_are_said(open_page, store_path, tmp_path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("prompt,choices,gold\nIs it?,[Yes, No],0\n" + 'Odd?,"[Yes, No]",7\n'
                    + '"Is <b>this</b> *so*?","[Yes, No]",1\nIs it?,"[a, b]",b\n')  # fmt: skip
    spec = RunSpec(
        kind="probe",
        name="choices",
        options={"variants": False},
        model=ModelRef(name="tiny:llama"),
        data=DataRef(task=f"harness:{path}", limit=9),
    )
    run = execute(spec, store=Store(store_path))
    assert [row["source"] for row in run.result.table("bad_rows").rows()] == [
        "own.csv:2",
        "own.csv:3",
    ]
    page = open_page("questions", run=run.run_id)
    assert "2 rows could not be used" in page.words
    assert "Given: No. The model: " in page.words
    reasons = [d.value for d in page.at.dataframe if "reason" in d.value.columns]
    assert reasons[0]["source"].tolist() == ["own.csv:2", "own.csv:3"]
    assert "Is <b>this</b> *so*?" in page.words
