"""Model: its sizes, its sites, and what any of them holds for the chosen text."""

import streamlit as st

from app.panels.model_loading import LOADER
from app.panels.model_panel import choose_form, show_attention, show_facts, show_norms, show_sites
from app.panels.session import model_ref, prompt
from app.panels.shell import ready
from app.panels.wording import plain_markdown, short


def main() -> None:
    """Draw the page."""
    st.markdown(f"## {plain_markdown(model_ref().name)}")
    choose_form()
    loading = LOADER.model(model_ref())
    if not ready(loading):
        return
    model = loading.value
    show_facts(model)
    st.markdown(f"#### Inside, for “{plain_markdown(short(prompt(), 70))}”")
    show_norms(model)
    show_attention(model)
    st.markdown("#### Sites: what can be read and edited")
    show_sites(model)


main()
