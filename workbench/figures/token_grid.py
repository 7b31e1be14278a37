"""A token strip as a plotly figure: cells in reading order, wrapped into lines."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.glyphs import figure_text
from workbench.figures.scales import Limits, colour_limits
from workbench.figures.theme import DIVERGING, MONO, SEQUENTIAL, dressed, label
from workbench.result.tables import Table
from workbench.result.views import TokenStrip

_PER_LINE = 16
_MOST_GROUPS = 8


def draw_token_grid(table: Table, view: TokenStrip) -> go.Figure:
    """Draw tokens as cells coloured by one column, sixteen a line; at most eight groups."""
    for column in filter(None, (view.token, view.color, view.group)):
        table[column]
    parts = (
        [("", table.frame)]
        if not view.group
        else [(str(key), part) for key, part in table.frame.groupby(view.group, sort=False)]
    )[:_MOST_GROUPS]
    lines = [-(-len(part) // _PER_LINE) for _, part in parts] or [1]
    titles = [figure_text(f"{view.group} {name}") if view.group else "" for name, _ in parts]
    figure = make_subplots(
        rows=max(len(parts), 1), cols=1, row_heights=lines, subplot_titles=titles
    )
    ends = _limits(table, view)
    for row, (_, part) in enumerate(parts, start=1):
        figure.add_trace(_cells(table, part, view, ends), row=row, col=1)
    dressed(figure, view.title, height=150 + 34 * sum(lines) + 40 * (len(parts) - 1))
    figure.update_layout(
        coloraxis={
            "colorscale": DIVERGING if ends.diverging else SEQUENTIAL,
            "cmin": ends.low,
            "cmax": ends.high,
            "colorbar": {
                "title": {"text": label(table, view.color), "side": "right"},
                "thickness": 14,
            },
        }
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, autorange="reversed")
    return figure


def _limits(table: Table, view: TokenStrip) -> Limits:
    numbers = pd.to_numeric(table[view.color], errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    return colour_limits(values, diverging=bool((values < 0).any() and (values > 0).any()))


def _cells(table: Table, part: pd.DataFrame, view: TokenStrip, ends: Limits) -> go.Heatmap:
    values = pd.to_numeric(part[view.color], errors="coerce")
    shape = (-(-len(part) // _PER_LINE), _PER_LINE)
    grid = np.full(shape[0] * shape[1], np.nan)
    grid[: len(part)] = values.to_numpy(dtype=np.float64, na_value=np.nan)
    words = [figure_text(t, blanks=True, limit=10) for t in part[view.token]]
    hover = [
        f"{i}  {figure_text(token, blanks=True)}<br>"
        f"{label(table, view.color)}: {'–' if np.isnan(value) else f'{value:.6g}'}"
        for i, (token, value) in enumerate(zip(part[view.token], grid[: len(part)], strict=True))
    ]
    fill = [""] * (len(grid) - len(part))
    return go.Heatmap(
        z=[[None if np.isnan(v) else float(v) for v in line] for line in grid.reshape(shape)],
        text=np.array(words + fill, dtype=object).reshape(shape).tolist(),
        texttemplate="%{text}",
        textfont={"family": MONO, "size": 11},
        hovertext=np.array(hover + fill, dtype=object).reshape(shape).tolist(),
        hovertemplate="%{hovertext}<extra></extra>",
        coloraxis="coloraxis",
        xgap=2,
        ygap=4,
    )
