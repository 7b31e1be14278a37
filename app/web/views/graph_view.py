"""Cause: fit a graph to scores, read the verdict, ask what an intervention would do."""

import streamlit as st

from app.panels.graph_panel import ask_panel, export_buttons, fit_form, run_to_ask, verdict
from app.panels.model_loading import LOADER
from app.panels.probe_panel import run_button
from app.panels.result_panel import show_run
from app.panels.run_panel import finished
from app.panels.shell import ready


def main() -> None:
    """Draw the page."""
    st.markdown("## What causes what in a table of scores")
    if not ready(LOADER.plugins()):
        return
    from workbench.methods.registry import plugins

    run_button(fit_form(plugins("discovery")))
    run_id = run_to_ask()
    if run_id is None:
        st.caption(
            "No graph was fitted here yet. Press Run: the scores of 3,913 models that ship with "
            "the package are fitted in a minute or two."
        )
        return
    st.divider()
    run = finished(run_id, key="graph")
    if run is None:
        return
    verdict(run)
    graph, what_if = st.tabs(["Graph", "What if?"])
    with graph:
        export_buttons(run)
        show_run(run)
    with what_if:
        ask_panel(run)


main()
