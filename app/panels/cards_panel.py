"""Slower methods over the text of the page: what each asks, its price, and the way to it."""

from collections.abc import Callable, Sequence

import streamlit as st

from app.panels.methods_panel import method_of
from app.panels.probe_panel import cost_words
from app.panels.prompt_panel import runs_of
from app.panels.session import model_ref, store
from app.panels.wording import plain_markdown
from workbench.methods.registry import Plugin, find, plugins
from workbench.methods.shapes import TASK, TEXTS
from workbench.runs.expected import expected_cost
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.text_grid import grid_probes

_ABREAST = 3
_Card = Callable[[], None]


def show_cards(text: str) -> None:
    """Show a card for each method that takes long, or measures more than the tokens of a text."""
    title = "Slower methods: what they ask, and what they cost"
    with st.expander(title, key="slower", on_change="rerun") as place:
        if place.open:
            _cards(text)


def _cards(text: str) -> None:
    runs = runs_of(text)
    dear = [_dear_card(find("probe", n), runs.dear[n], runs.prices[n]) for n in runs.dear]
    on_map = {plugin.name for plugin in grid_probes()}
    others = [p for p in plugins("probe") if p.takes in (TEXTS, TASK) and p.name not in on_map]
    if dear:
        st.markdown("**Measured on this page, as more layers of the map**")
        _abreast(dear)
        st.markdown("**On a page of their own**")
    _abreast([_far_card(plugin, text) for plugin in others])


def _abreast(cards: Sequence[_Card]) -> None:
    for at in range(0, len(cards), _ABREAST):
        for place, card in zip(st.columns(_ABREAST), cards[at : at + _ABREAST], strict=False):
            with place, st.container(border=True):
                card()


def _dear_card(plugin: Plugin, spec: RunSpec, passes: int) -> _Card:
    def add() -> None:
        method_of(plugin.name, spec)

    def card() -> None:
        st.markdown(f"**{plain_markdown(plugin.name)}**")
        st.caption(plain_markdown(plugin.summary))
        cost = expected_cost(spec, store())
        words = cost_words(cost) if cost.seconds or cost.is_stored else "not run here before"
        st.caption(plain_markdown(f"About {passes} passes over the text; {words}"))
        st.button(
            "Add to the map",
            key=f"add {plugin.name}",
            icon=":material/add:",
            disabled=cost.is_stored,
            on_click=add,
        )

    return card


def _far_card(plugin: Plugin, text: str) -> _Card:
    def card() -> None:
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

    return card
