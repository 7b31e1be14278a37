"""Bars with error bars, and estimates as a column of points with their intervals."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.curves import plain_list
from workbench.figures.glyphs import figure_text
from workbench.figures.scales import proportion_axis
from workbench.figures.theme import (
    CONTROL,
    colour_of,
    colours_of,
    dressed,
    label,
    number,
    sized,
    unit_of,
)
from workbench.result.estimate import Estimate
from workbench.result.tables import Column, Table
from workbench.result.views import Bars

_LONGEST_BELOW = 16
_BAR_HEIGHT = 22


def draw_bars(table: Table, view: Bars) -> go.Figure:
    """Draw one bar per row, its interval as an error bar and its control as a grey line.

    Bars with long names lie down, so that the names can be read.
    """
    for column in filter(None, (view.x, view.y, view.group, view.control)):
        table[column]
    groups = (
        [("", table.frame)]
        if not view.group
        else [(str(key), part) for key, part in table.frame.groupby(view.group, sort=False)]
    )
    names = [figure_text(name) for name, _ in groups]
    colours = colours_of(names) if view.group else {"": colour_of(view.y)}
    figure = go.Figure()
    for (_, part), name in zip(groups, names, strict=True):
        figure.add_trace(_bar(table, part, view, (name, colours[name])))
        if view.control:
            figure.add_trace(_control(part, view, name))
    dressed(figure, view.title)
    figure.update_xaxes(title_text=label(table, view.x), type="category")
    about = table.columns.get(view.y, Column())
    shown = [name for name in (view.y, view.control, about.low, about.high) if name in table.frame]
    values = [v for name in shown for v in plain_list(table.frame[name])]
    ends = proportion_axis(about.unit, values)
    figure.update_yaxes(title_text=label(table, view.y), **ends)
    figure.update_layout(
        barmode="group", scattermode="group", showlegend=bool(view.group or view.control)
    )
    is_long = table.frame[view.x].astype(str).str.len().max() > _LONGEST_BELOW
    return _laid_down(figure, len(table)) if is_long else figure


def _laid_down(figure: go.Figure, n: int) -> go.Figure:
    for trace in figure.data:
        trace.x, trace.y = trace.y, trace.x
        if trace.type == "bar":
            trace.orientation = "h"
            trace.error_x, trace.error_y = trace.error_y.to_plotly_json(), None
        else:
            trace.orientation = "h"
            trace.marker.symbol = "line-ns"
        trace.hovertemplate = trace.hovertemplate.replace("%{y:", "%{x:").replace("%{x}", "%{y}")
    across, along = figure.layout.xaxis.title.text, figure.layout.yaxis.title.text
    ends = figure.layout.yaxis.range
    figure.update_xaxes(title_text=along, type="linear", range=ends)
    figure.update_yaxes(
        title_text=across, type="category", autorange="reversed", range=None, automargin=True
    )
    return sized(figure, 190 + _BAR_HEIGHT * n)


def _bar(table: Table, part: pd.DataFrame, view: Bars, look: tuple[str, str]) -> go.Bar:
    name, colour = look
    about = table.columns.get(view.y, Column())
    values = plain_list(part[view.y])
    low = plain_list(part[about.low]) if about.low in part else [None] * len(values)
    high = plain_list(part[about.high]) if about.high in part else [None] * len(values)
    unit = unit_of(table, view.y)
    return go.Bar(
        x=plain_list(part[view.x]),
        y=values,
        name=name or figure_text(view.y.replace("_", " ")),
        offsetgroup=name or "bars",
        marker={"color": colour, "opacity": 0.85},
        error_y=error_bars(values, low, high),
        text=[_words(*triple, unit) for triple in zip(values, low, high, strict=True)],
        textposition="none",
        hovertemplate="%{x}<br>%{text}<extra></extra>",
    )


def _control(part: pd.DataFrame, view: Bars, name: str) -> go.Scatter:
    return go.Scatter(
        x=plain_list(part[view.x]),
        y=plain_list(part[view.control]),
        name=" · ".join(filter(None, [figure_text(view.control.replace("_", " ")), name])),
        offsetgroup=name or "bars",
        mode="markers",
        marker={
            "symbol": "line-ew",
            "size": 22,
            "line": {"width": 2.5, "color": CONTROL},
            "color": CONTROL,
        },
        hovertemplate="%{x}<br>control %{y:.6g}<extra></extra>",
    )


def error_bars(
    values: Sequence[float | None], low: Sequence[float | None], high: Sequence[float | None]
) -> dict[str, object]:
    """Return plotly error bars that reach from each value to the ends of its interval."""
    pairs = list(zip(values, low, high, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(h - v, 0) if h is not None and v is not None else 0 for v, _, h in pairs],
        "arrayminus": [
            max(v - lo, 0) if lo is not None and v is not None else 0 for v, lo, _ in pairs
        ],
        "color": CONTROL,
        "thickness": 1.4,
        "visible": any(lo is not None for lo in low),
    }


def draw_estimates(estimates: Sequence[Estimate], title: str) -> go.Figure:
    """Draw estimates as points with intervals, controls as grey crosses, one panel per unit."""
    known = [e for e in estimates if e.value is not None]
    units = list(dict.fromkeys(e.unit for e in known)) or [""]
    sizes = [sum(e.unit == unit for e in known) for unit in units]
    figure = make_subplots(
        rows=len(units),
        cols=1,
        row_heights=[max(size, 1) for size in sizes],
        vertical_spacing=0.34 / max(len(units), 2),
    )
    for row, unit in enumerate(units, start=1):
        part = [e for e in known if e.unit == unit]
        figure.add_trace(estimate_points(part), row=row, col=1)
        if any(e.control is not None for e in part):
            figure.add_trace(_ghosts(part, show=row == 1), row=row, col=1)
        figure.update_xaxes(title_text=figure_text(unit) or "value", row=row, col=1)
        figure.update_yaxes(type="category", autorange="reversed", row=row, col=1)
    dressed(figure, title, height=110 + 70 * len(units) + 34 * len(known))
    figure.update_layout(showlegend=any(e.control is not None for e in known))
    figure.update_yaxes(automargin=True)
    return figure


def estimate_points(part: Sequence[Estimate]) -> go.Scatter:
    """Return estimates as points with error bars, their words on hover."""
    values = [e.value for e in part]
    bars = error_bars(values, [e.low for e in part], [e.high for e in part])
    return go.Scatter(
        x=values,
        y=[figure_text(e.name.replace("_", " ")) for e in part],
        mode="markers",
        name="estimate with interval",
        marker={"size": 9, "color": [colour_of(e.name) for e in part]},
        error_x=bars,
        text=[figure_text(str(e)) for e in part],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _ghosts(part: Sequence[Estimate], *, show: bool) -> go.Scatter:
    drawn = [e for e in part if e.control is not None]
    return go.Scatter(
        x=[e.control for e in drawn],
        y=[figure_text(e.name.replace("_", " ")) for e in drawn],
        mode="markers",
        name="control",
        marker={"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": CONTROL}},
        text=[
            figure_text(f"{e.control_name or 'control'} {number(e.control)} {e.unit}")
            for e in drawn
        ],
        hovertemplate="%{text}<extra></extra>",
        showlegend=show,
    )


def _words(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    exact = "–" if value is None else f"{value:.6g}"
    if low is None or high is None:
        return f"{exact} {unit}"
    return f"{exact} [{number(low, low, high)}, {number(high, low, high)}] {unit}"
