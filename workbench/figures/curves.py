"""Lines of one quantity against another, with their interval as a band and their null as a ghost.

Columns of different units never share an axis: each unit gets a panel of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.glyphs import figure_text
from workbench.figures.scales import proportion_axis
from workbench.figures.theme import (
    CONTROL,
    CONTROL_DASHES,
    PALETTE,
    colours_of,
    dressed,
    faded,
    label,
    laid_out,
    number,
    sized,
    unit_of,
)
from workbench.result.tables import Column, Table
from workbench.result.views import Curve

_LONGEST_AXIS = 26
_MOST_LINES = len(PALETTE)
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """One line to draw: its points, its band, and whether it is a control."""

    name: str
    quantity: str
    unit: str
    x: list[Any]
    y: list[float | None]
    low: list[float | None]
    high: list[float | None]
    is_control: bool = False
    group: str = ""

    @property
    def has_band(self) -> bool:
        """Whether there is an interval to draw."""
        return any(v is not None for v in self.low) and any(v is not None for v in self.high)


def draw_curve(table: Table, view: Curve) -> go.Figure:
    """Draw the lines of a `Curve`, one panel per unit."""
    lines = list(lines_of(table, view))
    units = list(dict.fromkeys(line.unit for line in lines))
    traces, rows, owners = [], [], []
    for line, colour, dash in _looks(lines):
        made = [band_trace(line, colour)] if line.has_band else []
        made.append(line_trace(line, colour, dash))
        traces += made
        rows += [units.index(line.unit) + 1] * len(made)
        owners += [line.group] * len(made)
    figure = _panels(traces, rows, len(units))
    dressed(figure, view.title, height=120 + 260 * len(units))
    axes: dict[str, Any] = {f"xaxis{_at(len(units))}": {"title": {"text": label(table, view.x)}}}
    for row, unit in enumerate(units, start=1):
        names = dict.fromkeys(
            q.quantity for q in lines if q.unit == unit and not q.is_control
        ) or dict.fromkeys(q.quantity for q in lines if q.unit == unit)
        ends = {} if view.log_y else proportion_axis(unit, _values(lines, unit))
        axes[f"yaxis{_at(row)}"] = {"title": {"text": _axis_title(list(names), unit)}, **ends}
    if view.group:
        axes["legend"] = {"title": {"text": label(table, view.group)}}
    laid_out(figure, **scales(table, view), **axes)
    return _with_slider(figure, owners, label(table, view.group)) if view.group else figure


def _looks(lines: Sequence[Line]) -> Iterator[tuple[Line, str, str]]:
    """Yield every line with its colour and its dash."""
    colours = colours_of(dict.fromkeys(line.name for line in lines if not line.is_control))
    ghosts = list(dict.fromkeys(line.quantity for line in lines if line.is_control))
    for line in lines:
        if line.is_control:
            dash = CONTROL_DASHES[ghosts.index(line.quantity) % len(CONTROL_DASHES)]
            yield line, CONTROL, dash
        else:
            yield line, colours[line.name], "solid"


def _panels(traces: list[go.Scatter], rows: list[int], n: int) -> go.Figure:
    if n < 2:
        return go.Figure(traces)
    figure = make_subplots(rows=n, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    return figure.add_traces(traces, rows=rows, cols=[1] * len(rows))


def _at(row: int) -> str:
    return str(row) if row > 1 else ""


def _values(lines: Sequence[Line], unit: str) -> list[float | None]:
    return [v for q in lines if q.unit == unit for v in (*q.y, *q.low, *q.high)]


def _with_slider(figure: go.Figure, owners: Sequence[str], words: str) -> go.Figure:
    """Show one group at a time, chosen by a slider, where there are more than can be told apart."""
    groups = list(dict.fromkeys(owners))
    if len(groups) <= _MOST_LINES:
        return figure
    last = len(groups) - 1
    steps = [
        {
            "label": figure_text(group),
            "method": "update",
            "args": [{"visible": [owner == group for owner in owners]}],
        }
        for group in groups
    ]
    for trace, owner in zip(figure.data, owners, strict=True):
        trace.visible = owner == groups[last]
    slider = {
        "steps": steps,
        "active": last,
        "currentvalue": {"prefix": f"{words}: "},
        "pad": {"t": 46, "b": 4},
        "len": 1,
    }
    height = (figure.layout.height or 380) + 60
    return sized(figure.update_layout(sliders=[slider]), height, legend_lines=5)


def lines_of(table: Table, view: Curve) -> Iterator[Line]:
    """Yield every line a `Curve` asks for, controls after the quantities they judge.

    Raises:
        UnknownName: the table lacks a column of the view.
    """
    for column in (view.x, *view.y, *view.control, *([view.group] if view.group else [])):
        table[column]
    parts = (
        [("", table.frame)]
        if not view.group
        else [(str(key), part) for key, part in table.frame.groupby(view.group, sort=False)]
    )
    for column in (*view.y, *view.control):
        for group, part in parts:
            yield _line(table, part, view, (column, group))


def _line(table: Table, part: pd.DataFrame, view: Curve, key: tuple[str, str]) -> Line:
    column, group = key
    about = table.columns.get(column, Column())
    words = figure_text(column.replace("_", " "))
    several = len(view.y) > 1 or column in view.control
    name = " · ".join(filter(None, [words if several or not group else "", figure_text(group)]))
    return Line(
        name=name,
        quantity=words,
        unit=unit_of(table, column),
        x=plain_list(part[view.x]),
        y=plain_list(part[column]),
        low=plain_list(part[about.low]) if about.low in part else [],
        high=plain_list(part[about.high]) if about.high in part else [],
        is_control=column in view.control,
        group=group,
    )


def plain_list(column: "pd.Series[Any]") -> list[Any]:
    """Return a column as Python values, None where a cell is missing, text safe to draw."""
    return [
        None if pd.isna(v) else figure_text(v) if isinstance(v, str) else v for v in column.tolist()
    ]


def line_trace(line: Line, colour: str, dash: str = "") -> go.Scatter:
    """Return a line; a control is dashed and grey."""
    few = sum(v is not None for v in line.y) <= 40
    return go.Scatter(
        x=line.x,
        y=line.y,
        name=line.name,
        mode="lines+markers" if few and not line.is_control else "lines",
        line={
            "color": colour,
            "width": 1.5 if line.is_control else 2,
            "dash": dash or ("dash" if line.is_control else "solid"),
        },
        marker={"size": 5},
        legendgroup=line.name,
        text=[_hover(line, i) for i in range(len(line.y))],
        hovertemplate="%{text}<extra></extra>",
    )


def _hover(line: Line, i: int) -> str:
    low = line.low[i] if line.low else None
    high = line.high[i] if line.high else None
    value = line.y[i]
    exact = "–" if value is None else f"{value:.6g}"
    band = f" [{number(low, low, high)}, {number(high, low, high)}]" if low is not None else ""
    return f"{line.name}<br>{exact}{band} {line.unit}<br>at {line.x[i]}"


def band_trace(line: Line, colour: str) -> go.Scatter:
    """Return the interval of a line as a shaded band."""
    kept = [
        (x, low, high)
        for x, low, high in zip(line.x, line.low, line.high, strict=True)
        if low is not None and high is not None
    ]
    xs = [k[0] for k in kept]
    return go.Scatter(
        x=xs + xs[::-1],
        y=[k[2] for k in kept] + [k[1] for k in kept][::-1],
        fill="toself",
        fillcolor=faded(colour, 0.18),
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=line.name,
    )


def _axis_title(names: list[str], unit: str) -> str:
    words = ", ".join(names)
    words = words if len(words) <= _LONGEST_AXIS else ""
    if words and unit:
        return f"{words} ({unit})"
    return words or unit or "value (no unit)"


def scales(table: Table, view: Curve) -> dict[str, dict[str, Any]]:
    """Return the kind of the axes of a curve: whole steps, categories or logarithms."""
    x: dict[str, Any] = {}
    if pd.api.types.is_integer_dtype(table[view.x]) and not view.log_x:
        reach = int(table[view.x].max() - table[view.x].min()) if len(table) else 0
        x["dtick"] = next(s for s in _STEPS if reach <= 12 * s or s == _STEPS[-1])
    if not pd.api.types.is_numeric_dtype(table[view.x]):
        x["type"] = "category"
    elif view.log_x:
        x |= {"type": "log", **_decades(table, [view.x])}
    return {"x": x, "y": {"type": "log", **_decades(table, view.y)} if view.log_y else {}}


def _decades(table: Table, columns: Sequence[str]) -> dict[str, Any]:
    # Over more than two decades the ticks between powers of ten are noise.
    values = pd.concat([table[name] for name in columns]).dropna()
    values = values[values > 0]
    return {"dtick": 1} if len(values) and values.max() / values.min() > 100 else {}
