"""Views of a result on a page."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.panels.session import position
from app.panels.strip_panel import show_strip
from app.panels.table_panel import show_table
from app.panels.wording import count, plain_markdown, short
from workbench.figures.draw import draw
from workbench.figures.glyphs import visible
from workbench.result.result import Result
from workbench.result.tables import Table
from workbench.result.views import Bars, Curve, GraphView, Heatmap, Points, TokenStrip, View

# Formulas are never set: a text with two dollar signs would become one.
_ABREAST = 508
_LONGEST_TITLES = 110
MORE, WIDE, LEADING = "more figures", "wide", "leading"
CONFIG = {"displaylogo": False, "typesetMath": False, "responsive": True}


def show_views(result: Result, *, key: str, beside: Callable[[], None] | None = None) -> None:
    """Draw the leading view, the token strips, and the rest folded; without views the estimates.

    `beside` draws what stands to the right of the leading view.
    """
    if beside is not None:
        with st.container(key=f"{LEADING} {key}"):
            left, right = st.columns([5, 3], gap="medium")
        with right:
            beside()
        with left:
            _show_leading(result, key)
    else:
        _show_leading(result, key)
    _show_rest(result, key)


def _show_leading(result: Result, key: str) -> None:
    if result.views:
        show_view(result, result.views[0], key=f"{key} view 0")
    elif any(e.value is not None for e in result.estimates):
        show_figure(draw(result), key=f"{key} estimates")


def _show_rest(result: Result, key: str) -> None:
    rest = list(enumerate(result.views))[1:]
    for i, view in rest:
        if isinstance(view, TokenStrip):
            show_view(result, view, key=f"{key} view {i}")
    folded = [(i, view) for i, view in rest if not isinstance(view, TokenStrip)]
    if not folded:
        return
    titles = short(" · ".join(view.title for _, view in folded), _LONGEST_TITLES)
    words = plain_markdown(f"{count(len(folded), 'more figure')}: {titles}")
    # What is folded is not drawn: a page of one figure is there sooner.
    with st.expander(words, key=f"{key} {MORE}", on_change="rerun") as place:
        if place.open:
            _show_abreast(result, folded, key)


def _show_abreast(result: Result, views: Sequence[tuple[int, View]], key: str) -> None:
    # Small figures stand two abreast where there is room.
    row: Any = None
    for i, view in views:
        if not isinstance(view, Curve | Bars | Points):
            row = None
            show_view(result, view, key=f"{key} view {i}")
            continue
        row = row or st.container(horizontal=True, gap="small")
        with row, st.container(width=_ABREAST):
            show_view(result, view, key=f"{key} view {i}")


def show_view(result: Result, view: View, *, key: str) -> None:
    """Draw one view: strips as living text, everything else as a figure."""
    if isinstance(view, TokenStrip):
        _strip(result, view, key)
    else:
        alt = visible(f"{type(view).__name__}: {view.title}", blanks=False)
        # On a phone maps and graphs keep their width, and scroll.
        is_wide = isinstance(view, Heatmap | GraphView)
        with st.container(key=f"{WIDE} {key}" if is_wide else None):
            show_figure(draw(result, view), key=key, alt=alt)


def show_figure(figure: Any, *, key: str, alt: str | None = None) -> None:
    """Put a plotly figure on the page, in the page's light or dark colours."""
    st.plotly_chart(figure, key=key, config=CONFIG, theme="streamlit", alt=alt)


def _strip(result: Result, view: TokenStrip, key: str) -> None:
    st.markdown(f"**{_heading(view)}**")
    table = result.table(view.table)
    groups = None
    if view.group:
        names = list(dict.fromkeys(table[view.group].tolist()))
        if len(names) > 1:
            words = view.group.replace("_", " ")
            groups = [st.selectbox(words.capitalize(), names, key=f"{key} group")]
    show_strip(table, view, key=f"{key} strip", groups=groups, selected=position())
    if view.details:
        _details(result, view, key, groups)


def _details(result: Result, view: TokenStrip, key: str, groups: Sequence[Any] | None) -> None:
    """Show what is known about the token that was chosen in the strip."""
    table, more = result.table(view.table), result.table(view.details)
    words = plain_markdown(view.details.replace("_", " "))
    frame, rows = table.frame, more.frame
    if groups is not None:
        frame, rows = (f[f[view.group].isin(groups)] for f in (frame, rows))
    at = position()
    if at is None or at >= len(frame):
        st.caption(f"Click a token to see its {words}.")
        return
    chosen = frame.iloc[at]
    found = rows[rows[view.key] == chosen[view.key]]
    token = plain_markdown(visible(str(chosen[view.token])))
    st.markdown(f"**{words.capitalize()} at token {chosen[view.key]} “{token}”**")
    if found.empty:
        st.caption("Nothing was drawn here.")
        return
    show_table(Table(found, more.columns), name=view.details, key=f"{key} details")


def _heading(view: TokenStrip) -> str:
    return plain_markdown(view.title)
