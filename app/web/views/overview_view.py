"""Prompt: everything about one text."""

import streamlit as st

from app.panels.address import read_address, unknown, write_address
from app.panels.beside_panel import show_beside
from app.panels.cards_panel import show_cards
from app.panels.cell_panel import show_cell
from app.panels.change_panel import show_change, show_from_here
from app.panels.grid_panel import map_metrics, show_map
from app.panels.methods_panel import grid_of, show_states
from app.panels.model_loading import LOADER
from app.panels.prompt_panel import methods_of, show_quick
from app.panels.recent_panel import show_recent
from app.panels.session import choose_prompt, model_ref, prompt
from app.panels.shell import ready
from app.panels.wording import plain_markdown


def main() -> None:
    """Draw the page."""
    problems = read_address()
    loading = LOADER.model(model_ref())
    name = loading.value.spec.name if loading.value is not None else model_ref().name
    st.markdown(f"## What happens inside {plain_markdown(name)} as it reads")
    _ask()
    for problem in problems:
        st.warning(plain_markdown(f"The address asks for what is not there: {problem}."))
    if ready(LOADER.plugins()) and ready(LOADER.model(model_ref())):
        _look()
        _further()
    with st.sidebar:
        show_recent()


def _look() -> None:
    methods = methods_of(prompt())
    grid = grid_of(methods)
    is_all = not any(method.live_id for method in methods)
    if grid is not None and is_all:
        known = {"map": map_metrics(grid), "strip": list(grid.strips)}
        for problem in filter(None, (unknown(field, names) for field, names in known.items())):
            st.warning(plain_markdown(f"The address asks for what is not there: {problem}."))
    show_quick(methods, grid)
    if grid is not None and grid.maps:
        metric = show_map(grid)
        show_cell(grid, metric)
        show_from_here(prompt())
        show_beside(grid, metric)
    if grid is not None:
        show_change(prompt())
    show_states(methods)
    if is_all:
        write_address(next((m.run.run_id for m in methods if m.run is not None), ""))


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
    show_cards(prompt())
    st.markdown("**Look deeper, with this text**")
    places = st.columns(3)
    places[0].page_link(
        "views/model_view.py", label="Any site, any layer, any head", icon=":material/network_node:"
    )
    places[1].page_link("views/probe_view.py", label="Run a probe", icon=":material/biotech:")
    places[2].page_link("views/runs_view.py", label="All runs", icon=":material/history:")


main()
