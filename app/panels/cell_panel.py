"""The drawer of one cell: every metric there beside its control, and the layers above and below."""

import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.session import choose_cell, layer, position
from app.panels.table_panel import show_table
from app.panels.wording import plain_markdown
from workbench.figures.curves import draw_curve
from workbench.figures.glyphs import visible
from workbench.figures.theme import sized
from workbench.result.cell import cell_table, layers_table, words_table
from workbench.result.grid import Grid
from workbench.result.views import Curve


def show_cell(grid: Grid, metric: str) -> None:
    """Show what is known at the chosen layer and token; say how to choose where none is."""
    at, row = position(), layer()
    if at is None or at >= len(grid.tokens):
        return
    row = row if row in grid.layers else grid.layers[-1]
    with st.container(border=True):
        title, place, clear = st.columns([6, 2, 1], vertical_alignment="bottom")
        token = plain_markdown(visible(grid.tokens[at]))
        title.markdown(f"**Layer {row}, token {at} “{token}”**")
        chosen = place.number_input(
            "Layer", grid.layers[0], grid.layers[-1], value=row, key=f"cell layer {row} {at}"
        )
        clear.button("Close", on_click=lambda: choose_cell(None, None), key="close cell")
        if chosen != row:
            choose_cell(int(chosen), at)
            st.rerun()
        left, right = st.columns([3, 2])
        with left:
            show_table(cell_table(grid, row, at), name="cell", key=f"cell {row} {at}")
        with right:
            _layers(grid, metric, at)
            if grid.words:
                show_table(words_table(grid, at), name="words", key=f"words {at}")


def _layers(grid: Grid, metric: str, at: int) -> None:
    table = layers_table(grid, metric, at)
    view = Curve(
        title=f"{metric} at token {at}",
        table="layers",
        x="layer",
        y=(metric,),
        control=table.controls_of(metric),
    )
    show_figure(sized(draw_curve(table, view), 300, legend_lines=2), key=f"cell layers {metric}")
