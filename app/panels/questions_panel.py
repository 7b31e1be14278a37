"""Causal questions on a page: what a model chose, the computed answer and its proof as graphs."""

import pandas as pd
import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.run_panel import example
from app.panels.session import model_ref, store
from app.panels.wording import plain_markdown
from workbench.figures.draw import draw
from workbench.result.result import Result
from workbench.result.tables import Table
from workbench.result.views import GraphView
from workbench.runs.spec import DataRef, RunSpec

PROBE = "choices"
_TASKS = ("corr2cause?nodes=4", "cladder", "counterbench?nodes=4", "corr2cause?nodes=5")
_QUESTIONS = 12
_SHOWN = ("item", "family", "answer", "choice", "is_right", "margin")


def question_form() -> RunSpec | None:
    """Draw the choice of a task; return what to run once it is asked for."""
    with st.form("questions", border=False):
        a, b, c = st.columns([4, 1, 1], vertical_alignment="bottom")
        task = a.selectbox(
            "Task",
            _TASKS,
            accept_new_options=True,
            help="A task of choice questions with its options, or `harness:TASK.yaml`.",
        )
        limit = b.number_input("Questions", value=_QUESTIONS, min_value=2, max_value=10_000, step=2)
        asked = c.form_submit_button("Ask", type="primary", icon=":material/quiz:")
    if not asked or not task:
        return None
    data = DataRef(task=task, limit=int(limit))
    options = {"variants": False}
    return RunSpec(kind="probe", name=PROBE, options=options, model=model_ref(), data=data)


def latest_questions() -> str:
    """Return the run asked for on this page, else the latest one, else the example."""
    asked = st.query_params.get("run", "")
    rows = store().find(kind="probe", name=PROBE).rows()
    found = [str(row["run_id"]) for row in rows]
    return asked or next(iter(found or example("questions")), "")


def show_warnings(result: Result) -> None:
    """Show what the numbers leave out: rows that could not be asked, baselines that win."""
    for note in result.notes:
        if note.level == "warning":
            st.warning(plain_markdown(note.text))
    if "bad_rows" in result.tables:
        with st.expander("Rows that could not be asked"):
            st.dataframe(result.table("bad_rows").frame, hide_index=True)


def choose_question(result: Result) -> "pd.Series | None":
    """Draw the questions with what was chosen, and return the one that is looked at."""
    table = result.table("items")
    shown = table.frame[list(_SHOWN)]
    event = st.dataframe(
        shown,
        hide_index=True,
        height=min(320, 38 + 35 * len(shown)),
        on_select="rerun",
        selection_mode="single-row",
        key="questions asked",
        column_config={
            "answer": st.column_config.TextColumn("right answer"),
            "choice": st.column_config.TextColumn("model's choice"),
            "is_right": st.column_config.CheckboxColumn("right"),
            "margin": st.column_config.NumberColumn("margin (nats)", format="%.3f"),
        },
    )
    rows = event.selection.rows if event else []
    return table.frame.iloc[rows[0] if rows else 0] if len(shown) else None


def show_question(row: "pd.Series") -> None:
    """Show a question, both answers, and the proof of the computed one."""
    st.markdown(plain_markdown(str(row["prompt"])))
    verdict = "right" if row["is_right"] else "wrong"
    # The answer of a file is what it says, without a proof.
    source = "Computed" if row.get("proof") else "Given"
    st.markdown(
        plain_markdown(
            f"{source}: {row['answer']}. The model: {row['choice']} ({verdict}; margin of the "
            f"right choice {row['margin']:.3g} nats)."
        )
    )
    found = proof_graphs(row)
    if found is not None:
        show_figure(
            draw(found, found.views[0]), key=f"proof {row['item']}", alt="Graphs of the proof"
        )
    for step in str(row.get("proof") or "").split("; "):
        if step:
            st.caption(plain_markdown(step))


def proof_graphs(row: "pd.Series") -> Result | None:
    """Return the graphs of a proof as a result to draw, None where it has no graph."""
    # Items of a file have no proof, and runs of earlier versions did not keep its graphs.
    if not {"nodes", "graph", "cause", "effect"} <= set(row.index):
        return None
    nodes = list(row["nodes"])
    edges = [
        {"graph": g or "the graph", "cause": a, "effect": b}
        for g, a, b in zip(row["graph"], row["cause"], row["effect"], strict=True)
    ]
    if not edges or not nodes:
        return None
    view = GraphView(title="Proof", nodes="nodes", edges="edges", group="graph")
    tables = {
        "nodes": Table.from_rows([{"name": v} for v in nodes]),
        "edges": Table.from_rows(edges),
    }
    return Result(summary=str(row["proof"]), tables=tables, views=(view,))
