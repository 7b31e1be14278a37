"""Probe: choose one, run it, read the result."""

import streamlit as st

from app.panels.model_loading import LOADER
from app.panels.probe_panel import choose_plugin, probe_form, run_button, run_to_show
from app.panels.result_panel import show_run
from app.panels.run_panel import finished
from app.panels.shell import ready
from app.panels.wording import plain_markdown


def main() -> None:
    """Draw the page."""
    st.markdown("## Ask the model a question")
    if not ready(LOADER.plugins()):
        return
    from workbench.methods.registry import plugins

    found = plugins("probe")
    if not found:
        st.info("No probe could be loaded. Help, Doctor says why.")
        return
    plugin = choose_plugin(found)
    run_button(probe_form(plugin))
    run_id = run_to_show(plugin)
    if run_id is None:
        st.caption(
            "This probe was not run here yet. The form works as it stands: press Run, and the "
            "prompts that ship with the package are measured."
        )
        return
    st.divider()
    run = finished(run_id, key="probe")
    if run is None:
        return
    if run_id != st.query_params.get("run"):
        name = run.spec.model.name if run.spec.model else "no model"
        st.caption(plain_markdown(f"The latest run of this probe, on {name}:"))
    show_run(run)


main()
