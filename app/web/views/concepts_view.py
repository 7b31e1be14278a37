"""Concepts: what changing one does to an answer, and which explainer comes near the real edit."""

import streamlit as st

from app.panels.concepts_panel import PROBE, concept_form, latest_effect, pair_panel
from app.panels.model_loading import LOADER
from app.panels.result_panel import show_run
from app.panels.run_panel import begin, finished, say_example
from app.panels.session import model_ref
from app.panels.shell import ready
from app.panels.wording import plain_markdown


def main() -> None:
    """Draw the page."""
    st.markdown("## What a concept does to an answer")
    if not ready(LOADER.plugins()) or not ready(LOADER.model(model_ref())):
        return
    spec = concept_form()
    if spec is not None and (run_id := begin(spec)) is not None:
        st.query_params["run"] = run_id
    run_id = latest_effect()
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
