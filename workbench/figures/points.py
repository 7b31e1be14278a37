"""A scatter of two columns, with intervals where the columns have them."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from workbench.figures.bars import error_bars
from workbench.figures.curves import plain_list
from workbench.figures.glyphs import figure_text
from workbench.figures.scales import proportion_axis
from workbench.figures.theme import CONTROL, SEQUENTIAL, colour_of, colours_of, dressed, label
from workbench.result.tables import Column, Table
from workbench.result.views import Points


def draw_points(table: Table, view: Points) -> go.Figure:
    """Draw one point per row; a numeric colour column gets a scale, a word column a legend."""
    for column in filter(None, (view.x, view.y, view.color, view.label, view.path)):
        table[column]
    figure = go.Figure(_paths(table, view))
    if view.diagonal:
        figure.add_trace(_diagonal(table, view))
    words = view.color and not pd.api.types.is_numeric_dtype(table[view.color])
    if words:
        parts = [(str(key), part) for key, part in table.frame.groupby(view.color, sort=False)]
        colours = colours_of(figure_text(name) for name, _ in parts)
        for name, part in parts:
            look = {"color": colours[figure_text(name)], "size": 8}
            figure.add_trace(_cloud(table, part, view, look).update(name=figure_text(name)))
    else:
        figure.add_trace(_cloud(table, table.frame, view, _scale(table, view)))
    dressed(figure, view.title, height=440)
    for name, change in ((view.x, figure.update_xaxes), (view.y, figure.update_yaxes)):
        unit = table.columns.get(name, Column()).unit
        change(title_text=label(table, name), **proportion_axis(unit, plain_list(table[name])))
    figure.update_layout(showlegend=bool(words) or view.diagonal)
    return figure


def _scale(table: Table, view: Points) -> dict[str, Any]:
    if not view.color:
        return {"color": colour_of(view.y), "size": 8, "opacity": 0.8}
    return {
        "color": plain_list(table[view.color]),
        "colorscale": SEQUENTIAL,
        "colorbar": {"title": {"text": label(table, view.color), "side": "right"}},
        "size": 8,
    }


def _cloud(table: Table, part: pd.DataFrame, view: Points, marker: dict[str, Any]) -> go.Scatter:
    shown = list(dict.fromkeys(filter(None, (view.label, view.x, view.y, view.color))))
    hover = [
        "<br>".join(f"{label(table, name)}: {_cell(row[name])}" for name in shown)
        for row in part[shown].to_dict("records")
    ]
    return go.Scatter(
        x=plain_list(part[view.x]),
        y=plain_list(part[view.y]),
        error_x=_intervals(table, part, view.x),
        error_y=_intervals(table, part, view.y),
        mode="markers",
        marker=marker,
        text=hover,
        hovertemplate="%{text}<extra></extra>",
        name="rows",
        showlegend=bool(view.color) and isinstance(marker["color"], str),
    )


def _intervals(table: Table, part: pd.DataFrame, name: str) -> dict[str, object] | None:
    about = table.columns.get(name, Column())
    if about.low not in part or about.high not in part:
        return None
    values, low, high = (plain_list(part[c]) for c in (name, about.low, about.high))
    return {**error_bars(values, low, high), "width": 0}


def _paths(table: Table, view: Points) -> list[go.Scatter]:
    if not view.path:
        return []
    return [
        go.Scatter(
            x=plain_list(part[view.x]),
            y=plain_list(part[view.y]),
            mode="lines",
            line={"color": CONTROL, "width": 1},
            opacity=0.5,
            hoverinfo="skip",
            showlegend=False,
        )
        for _, part in table.frame.groupby(view.path, sort=False)
    ]


def _diagonal(table: Table, view: Points) -> go.Scatter:
    both = pd.concat([table[view.x], table[view.y]]).dropna()
    ends = [float(both.min()), float(both.max())] if len(both) else [0.0, 1.0]
    return go.Scatter(
        x=ends,
        y=ends,
        mode="lines",
        name="equal",
        line={"color": CONTROL, "dash": "dash", "width": 1.5},
        hoverinfo="skip",
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if pd.isna(value) else f"{value:.6g}"
    return figure_text(value)
