"""Concepts: what changing one does to an answer, and which explainer comes near the real edit."""

import streamlit as st

from app.panels.concepts_panel import PROBE, concept_form, latest_effect, pair_panel
from app.panels.model_loading import LOADER
from app.panels.result_panel import show_run
from app.panels.run_panel import begin, finished, say_example
from app.panels.session import model_ref
from app.panels.shell import ready
from app.panels.wording import plain_markdown
from workbench.runs.spec import RunSpec


def main() -> None:
    """Draw the page."""
    st.markdown("## What a concept does to an answer")
    if ready(LOADER.plugins()) and ready(LOADER.model(model_ref())):
        _begin(concept_form())
        _show(latest_effect())


def _begin(spec: RunSpec | None) -> None:
    run_id = begin(spec) if spec is not None else None
    if run_id is not None:
        st.query_params["run"] = run_id


def _show(run_id: str) -> None:
    run = finished(run_id, key="concepts") if run_id else None
    if run is None:
        return
    if run.spec.name != PROBE:
        st.info(plain_markdown(f"The run {run_id} is one of {run.spec.name}: see the page Runs."))
        return
    say_example(run.run_id, "Press Explain to ask this model about texts of your own.")
    result = run.result
    has_pairs = result is not None and {"pairs", "explained"} <= set(result.tables)
    show_run(run, beside=(lambda: pair_panel(run)) if has_pairs else None)


main()
