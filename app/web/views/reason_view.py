"""Reason: let several strategies solve the same problems, read every step."""

import streamlit as st

from app.panels.chain_panel import (
    PLACE,
    PLACES,
    TRACE,
    chain_form,
    is_chain,
    show_chain,
    think_button,
)
from app.panels.model_loading import LOADER
from app.panels.reason_panel import (
    reasoner_form,
    runs_to_show,
    show_solved,
    solve_button,
    task_form,
)
from app.panels.session import model_ref
from app.panels.shell import ready


def main() -> None:
    """Draw the page."""
    st.markdown("## Solve problems step by step")
    if not ready(LOADER.plugins()):
        return
    shown = st.segmented_control(
        "Shown",
        PLACES,
        default=PLACES[1] if is_chain(st.query_params.get("run", "")) else PLACES[0],
        required=True,
        key=PLACE,
        label_visibility="collapsed",
    )
    if shown == PLACES[1]:
        _inside()
    else:
        _problems()


def _inside() -> None:
    from workbench.methods.registry import find

    think_button(chain_form(find("probe", TRACE)))
    show_chain()


def _problems() -> None:
    from workbench.methods.registry import plugins

    if ready(LOADER.model(model_ref())):
        data = task_form(plugins("task"))
        solve_button(reasoner_form(plugins("reasoner"), data))
    if run_ids := runs_to_show():
        st.divider()
        show_solved(run_ids)


main()
