"""Slower methods over the text of the page: what each asks, its price, and the way to it."""

import streamlit as st

from app.panels.cost import expected_cost
from app.panels.probe_panel import cost_words
from app.panels.session import model_ref, store
from app.panels.wording import plain_markdown
from workbench.methods.registry import Plugin, plugins
from workbench.methods.shapes import TASK, TEXTS
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.text_grid import grid_probes

_ABREAST = 3


def show_cards(text: str) -> None:
    """Show a card for each method that measures more than the tokens of one text."""
    quick = {plugin.name for plugin in grid_probes()}
    found = [p for p in plugins("probe") if p.takes in (TEXTS, TASK) and p.name not in quick]
    with st.expander("Slower methods: what they ask, and what they cost"):
        for at in range(0, len(found), _ABREAST):
            places = st.columns(_ABREAST)
            for place, plugin in zip(places, found[at : at + _ABREAST], strict=False):
                with place, st.container(border=True):
                    _card(plugin, text)


def _card(plugin: Plugin, text: str) -> None:
    data = DataRef(texts=(text,)) if plugin.takes == TEXTS else DataRef(limit=1)
    spec = RunSpec(name=plugin.name, model=model_ref(), data=data)
    st.page_link(
        "views/probe_view.py",
        label=plain_markdown(plugin.name),
        query_params={"probe": plugin.name},
        icon=":material/timer:",
    )
    st.caption(plain_markdown(plugin.summary))
    st.caption(plain_markdown(cost_words(expected_cost(spec, store()))))
