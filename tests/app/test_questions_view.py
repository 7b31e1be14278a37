"""The Questions page: what a model chose beside the computed answer, and the proof as graphs."""

from html import escape

from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store


def test_without_a_run_the_page_says_what_to_do(open_page) -> None:
    assert "No question was asked here yet" in open_page("questions").words


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
