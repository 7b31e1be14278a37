"""Cause: read a graph and ask it what an intervention would do; fit one to other scores."""

import streamlit as st

from app.panels.graph_panel import (
    ask_panel,
    can_be_asked,
    export_buttons,
    fit_form,
    run_to_ask,
    verdict,
)
from app.panels.model_loading import LOADER
from app.panels.probe_panel import run_button
from app.panels.result_panel import show_run
from app.panels.run_panel import finished, say_example
from app.panels.shell import ready


def main() -> None:
    """Draw the page."""
    st.markdown("## What causes what in a table of scores")
    is_ready = ready(LOADER.plugins())
    if is_ready:
        from workbench.methods.registry import plugins

        with st.expander("Fit a graph to other scores, by another method", key="fit a graph"):
            run_button(fit_form(plugins("discovery")))
    run_id = run_to_ask()
    run = finished(run_id, key="graph") if run_id else None
    if run is None:
        return
    say_example(run.run_id, "Open the form above to fit a graph to scores of your own.")
    verdict(run)
    show_run(run, beside=(lambda: ask_panel(run)) if is_ready and can_be_asked(run) else None)
    export_buttons(run)


main()
