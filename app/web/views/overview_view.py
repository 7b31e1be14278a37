"""Prompt: everything about one text."""

import streamlit as st

from app.panels.grid_panel import show_any_grid
from app.panels.model_loading import LOADER
from app.panels.prompt_panel import LONGEST, quick_runs, show_quick
from app.panels.recent_panel import show_recent
from app.panels.session import choose_prompt, model_ref, prompt
from app.panels.shell import ready
from app.panels.wording import plain_markdown


def main() -> None:
    """Draw the page."""
    st.markdown(f"## What happens inside {plain_markdown(model_ref().name)} as it reads")
    _ask()
    if ready(LOADER.plugins()):
        show_quick(quick_runs(prompt()))
        show_any_grid(prompt(), longest=LONGEST)
        _further()
    with st.sidebar:
        show_recent()


def _ask() -> None:
    with st.form("ask", border=False):
        text = st.text_area("A text", value=prompt(), height=90, label_visibility="collapsed")
        asked = st.form_submit_button("Look inside", type="primary", icon=":material/search:")
    if not asked:
        return
    if text.strip():
        choose_prompt(text)
        st.rerun()
    st.warning("The text is empty. Write a few words.")


def _further() -> None:
    st.markdown("**Look deeper, with this text**")
    places = st.columns(3)
    places[0].page_link(
        "views/model_view.py", label="Any site, any layer, any head", icon=":material/network_node:"
    )
    places[1].page_link("views/probe_view.py", label="Run a probe", icon=":material/biotech:")
    places[2].page_link("views/runs_view.py", label="All runs", icon=":material/history:")


main()
