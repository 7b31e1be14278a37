"""Everything about one text: the strip, what is said of a token, and three small figures."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.methods_panel import Method, is_known, method_of
from app.panels.session import choose_cell, model_ref, position, remembered
from app.panels.strip_panel import STRIP, show_strip
from app.panels.wording import plain_markdown, verdict_html
from workbench.figures.curves import draw_curve
from workbench.figures.glyphs import visible
from workbench.figures.grid_plot import strip_table
from workbench.figures.theme import marked, sized
from workbench.result.cell import layers_table
from workbench.result.grid import Grid
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.result.views import Curve
from workbench.runs.models import shared_model
from workbench.runs.shared_pass import SharedPass
from workbench.runs.spec import ModelRef
from workbench.runs.text_grid import TextRuns, not_offered, text_pass, text_runs

HERE = "here"
LONGEST = 64
_SMALL, _WIDTH = 340, 328
_TRACE, _LENS = "token-trace", "logit-lens"
_COLOURS = {
    "token-trace surprisal": "Surprise: how unexpected each token is, given what stands before it",
    "token-trace entropy": "Uncertainty: how open the model is about the token that comes next",
    "token-trace norm": "Length of the residual stream at each token, after the last layer",
}
FIRST = (_TRACE, _LENS)


def methods_of(text: str) -> list[Method]:
    """Begin every quick method on a text, or find it: the trace, then the lens, then the rest.

    The first two go one after the other: side by side both would be late. A dear one is there
    once it was asked for or is stored; it stands after the quick one of its name.
    """
    runs, shared = runs_of(text), _shared_pass(text)
    missing = _missing(model_ref())
    found: list[Method] = []
    for name in FIRST:
        found.append(method_of(name, runs.quick[name], shared))
        if found[-1].live_id:
            return found
    for name, spec in runs.quick.items():
        if name in missing:
            found.append(Method(name=name, state=missing[name]))
        elif name not in FIRST:
            found.append(method_of(name, spec, shared))
    found += [method_of(n, s) for n, s in runs.dear.items() if n not in missing and is_known(s)]
    if not any(method.live_id for method in found):
        shared.forget()
    return found


def runs_of(text: str) -> TextRuns:
    """Return the runs of every method that measures each token of a text."""
    return text_runs(text, model_ref(), shared_model(model_ref()), longest=LONGEST)


def _shared_pass(text: str) -> SharedPass:
    """Return the model as the methods of one text share it, the same one until another is shown."""
    key = (model_ref(), text)
    known: tuple[Any, SharedPass] | None = st.session_state.get("shared pass")
    if known is None or known[0] != key:
        known = (key, text_pass(shared_model(model_ref())))
        st.session_state["shared pass"] = known
    return known[1]


@st.cache_resource(show_spinner=False, ttl=60)
def _missing(ref: ModelRef) -> dict[str, str]:
    return not_offered(shared_model(ref))


def show_quick(methods: Sequence[Method], grid: Grid | None) -> None:
    """Draw what the first two found: the strip, what is said of a token, three small figures."""
    results = {m.name: m.run.result for m in methods if m.run is not None}
    trace, lens = results.get(_TRACE), results.get(_LENS)
    if trace is not None and grid is not None:
        st.html(verdict_html(trace.summary, "1.15rem"))
        _strip(trace, grid)
        if any(note.code == "cut" for note in trace.notes):
            st.caption(f"Only the first {LONGEST} tokens of this text are read.")
        _said(trace)
        with st.container(horizontal=True, gap="small"):
            with st.container(width=_WIDTH):
                _along(trace)
            with st.container(width=_WIDTH):
                _over_layers(grid, "token-trace norm", trace, "Length of the residual stream")
                st.caption("Mean over tokens but the first. Grey, dashed: random order.")
            if lens is not None:
                with st.container(width=_WIDTH):
                    _over_layers(grid, "logit-lens kl", lens, "Distance from the final answer")
                    st.caption("Logit lens, KL. Grey, dashed: random vectors, and other tokens.")


def _strip(trace: Result, grid: Grid) -> None:
    names = [n for n in grid.strips if not grid.columns.get(n, Column()).control_of]
    names = [*_COLOURS, *(n for n in names if n not in _COLOURS)]
    colour = remembered("Tokens coloured by", names, STRIP)
    words = _COLOURS.get(colour) or grid.columns.get(colour, Column()).help.rstrip(".")
    st.caption(plain_markdown(f"{words}. Orange underline: the end of a sentence."))
    table, view = strip_table(grid, colour)
    ends = trace.table("tokens").frame["ends_sentence"]
    table = Table(table.frame.assign(ends_sentence=ends), table.columns)
    view = replace(view, flag="ends_sentence")
    show_strip(table, view, key=f"prompt strip {colour}", selected=position())


def chosen_row(trace: Result) -> "pd.Series | None":
    """Return the row of the chosen position, None when nothing is chosen."""
    frame, index = trace.table("tokens").frame, position()
    return None if index is None or index >= len(frame) else frame.iloc[index]


def _said(trace: Result) -> None:
    row = chosen_row(trace)
    if row is None:
        st.caption("Choose a token, or a cell of the map: every figure will show that position.")
        return
    words = f"Token {row['position']} “{visible(row['token'])}”"
    if not pd.isna(row["surprisal"]):
        words += f" came with {row['surprisal']:.3g} nats of surprise."
    else:
        words += " is the first: nothing stands before it."
    words += (
        f" Next, the model finds “{visible(row['best_next'])}” most likely "
        f"(probability {row['best_next_probability']:.2g}; entropy {row['entropy']:.3g} nats)."
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown(plain_markdown(words), width="content")
        st.button("Clear choice", on_click=lambda: choose_cell(None, None), key="clear position")


def _along(trace: Result) -> None:
    view = Curve(
        title="Surprise along the text",
        table="tokens",
        x="position",
        y=("surprisal", "entropy"),
        control=("surprisal_shuffled",),
    )
    figure = sized(draw_curve(trace.table("tokens"), view), _SMALL, legend_lines=3)
    show_figure(marked(figure, position()), key="along")
    st.caption("Grey, dashed: surprisal of the same tokens in random order.")


def _over_layers(grid: Grid, metric: str, result: Result, title: str) -> None:
    """Draw a metric's mean at every layer and, where a token is chosen, its value there."""
    table, chosen = result.table("layers"), position()
    name = metric.split(" ", 1)[1]
    y: tuple[str, ...] = (name,)
    if chosen is not None and chosen < len(grid.tokens):
        here = layers_table(grid, metric, chosen).frame.set_index("layer")[metric]
        y, about = (name, HERE), table.columns.get(name, Column())
        about = Column(unit=about.unit, help="At the chosen token.")
        values = table.frame["layer"].map(here)
        table = Table(table.frame.assign(**{HERE: values}), {**table.columns, HERE: about})
    view = Curve(title=title, table="layers", x="layer", y=y, control=table.controls_of(name))
    show_figure(sized(draw_curve(table, view), _SMALL, legend_lines=3), key=f"over layers {name}")
