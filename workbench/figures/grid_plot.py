"""One text's grid drawn: a token strip, and a map of layers and tokens."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from workbench.figures.heatmap import draw_heatmap
from workbench.figures.token_grid import draw_token_grid
from workbench.result.grid import GRID, TOKENS, Grid, place_names
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.result.views import Heatmap, TokenStrip

CELLS = "cells"


def draw_strip(grid: Grid, metric: str) -> go.Figure:
    """Draw the text as a strip coloured by one metric.

    Raises:
        UnknownName: the grid holds no such strip.
    """
    return draw_token_grid(*strip_table(grid, metric))


def strip_table(grid: Grid, metric: str) -> tuple[Table, TokenStrip]:
    """Return the tokens with one metric, and the strip that shows them.

    Raises:
        UnknownName: the grid holds no such strip.
    """
    frame = pd.DataFrame({"token": grid.tokens, metric: grid.token_strip(metric)})
    about = {metric: grid.columns.get(metric, Column())}
    view = TokenStrip(title=metric, table=TOKENS, token="token", color=metric)
    return Table(frame, about), view


def draw_map(grid: Grid, metric: str, words: str = "", *, diverging: bool = False) -> go.Figure:
    """Draw one metric at every layer and token; `words` name what fills the cells.

    `diverging` colours differences: 0 is the middle.

    Raises:
        UnknownName: the grid holds no such map.
    """
    values = grid.map(metric)
    places = place_names(grid.tokens)
    n, n_layers = len(places), len(grid.layers)
    columns = {
        "layer": np.tile(np.array(grid.layers), n),
        "place": np.repeat(np.array(places, dtype=object), n_layers),
        metric: values.T.reshape(-1),
    }
    if words in grid.words:
        columns[words] = np.array(grid.words[words], dtype=object).T.reshape(-1)
    about = {metric: grid.columns.get(metric, Column())}
    view = Heatmap(
        title=metric,
        table=GRID,
        row="layer",
        column="place",
        value=metric,
        text=words if words in grid.words else "",
        diverging=diverging,
    )
    table = Table(pd.DataFrame(columns), about)
    return draw_heatmap(Result(summary=metric, tables={GRID: table}), view)


def map_words(grid: Grid, metric: str) -> str:
    """Return the words that belong into the cells of a metric: those of the same probe."""
    probe = metric.split(" ", 1)[0]
    return next((name for name in grid.words if name.startswith(f"{probe} ")), "")


def with_cells(figure: go.Figure, grid: Grid) -> go.Figure:
    """Lay a point over each cell of a map that can be chosen; it carries layer and position.

    Pointing anywhere in a cell is pointing at its point.
    """
    cells = [(i, p) for p in range(len(grid.tokens)) for i in range(len(grid.layers))]
    drawn = figure.data[0]
    figure.add_scatter(
        x=[drawn.x[p] for _, p in cells],
        y=[grid.layers[i] for i, _ in cells],
        customdata=[[grid.layers[i], p] for i, p in cells],
        hovertext=[drawn.hovertext[i][p] for i, p in cells],
        hovertemplate="%{hovertext}<extra></extra>",
        mode="markers",
        marker={"size": 14, "symbol": "square", "opacity": 0},
        unselected={"marker": {"opacity": 0}},
        selected={"marker": {"opacity": 0}},
        name=CELLS,
        showlegend=False,
    )
    # The nearest point is that of the cell pointed at, however wide and high cells are.
    drawn.update(hoverinfo="skip", hovertemplate=None)
    return figure.update_layout(hoverdistance=-1)
