"""The map of layers and tokens: one metric of any method at a time, each cell to be chosen."""

from typing import Any

import streamlit as st

from app.panels.figure_panel import CONFIG, WIDE
from app.panels.session import choose_cell, layer, position, remembered
from app.panels.wording import plain_markdown
from workbench.figures.grid_plot import CELLS, draw_map, map_words, with_cells
from workbench.figures.theme import in_frame, outlined
from workbench.result.grid import Grid
from workbench.result.tables import Column

MAP = "map metric"
_FIRST = "logit-lens kl"


def map_metrics(grid: Grid) -> list[str]:
    """Return the metrics that may be drawn: the first one of a fresh page, others, controls."""

    def place(name: str) -> tuple[bool, bool]:
        return name != _FIRST, bool(grid.columns.get(name, Column()).control_of)

    return sorted(grid.maps, key=place)


def show_map(grid: Grid) -> str:
    """Let the user choose a metric, draw it at every layer and token, and return its name."""
    metric = remembered("Layers and tokens coloured by", map_metrics(grid), MAP)
    figure = with_cells(draw_map(grid, metric, map_words(grid, metric)), grid)
    figure = outlined(in_frame(figure, position()), layer(), position())
    with st.container(key=f"{WIDE} map"):
        event: Any = st.plotly_chart(
            figure,
            key=f"map {metric}",
            config=CONFIG,
            theme="streamlit",
            alt=f"Map of layers and tokens: {metric}",
            on_select="rerun",
            selection_mode="points",
        )
    about = grid.columns.get(metric, Column())
    unit = f" In {about.unit}." if about.unit else ""
    st.caption(plain_markdown(f"{about.help}{unit} Click a cell to see all that is known of it."))
    _follow(event, metric)
    return metric


def _follow(event: Any, metric: str) -> None:
    """Take over the cell that was clicked; the selection of an earlier pass is no news."""
    points = [p for p in event.selection.points if p.get("customdata")] if event else []
    if not points:
        return
    found = tuple(int(x) for x in points[-1]["customdata"][:2])
    if st.session_state.get(f"{CELLS} {metric}") == found:
        return
    st.session_state[f"{CELLS} {metric}"] = found
    choose_cell(*found)
    st.rerun()
