"""Reason: let several strategies solve the same problems, read every step."""

import streamlit as st

from app.panels.model_loading import LOADER
from app.panels.reason_panel import (
    reasoner_form,
    runs_to_show,
    show_solved,
    solve_button,
    task_form,
)
from app.panels.shell import ready


def main() -> None:
    """Draw the page."""
    st.markdown("## Solve problems step by step")
    if not ready(LOADER.plugins()):
        return
    from workbench.methods.registry import plugins

    data = task_form(plugins("task"))
    solve_button(reasoner_form(plugins("reasoner"), data))
    run_ids = runs_to_show()
    if not run_ids:
        st.caption(
            "No problem was solved here yet. Press Solve: the model answers a dozen word "
            "problems at once and with a chain of thought."
        )
        return
    st.divider()
    show_solved(run_ids)


main()
