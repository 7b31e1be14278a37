"""Two results side by side, with the difference drawn rather than left to the eye."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.bars import estimate_points
from workbench.figures.curves import Line, band_trace, line_trace, lines_of, scales
from workbench.figures.glyphs import figure_text
from workbench.figures.heatmap import draw_heatmap, grid_of
from workbench.figures.theme import CONTROL, PALETTE, dressed, label, laid_out
from workbench.result.result import Result
from workbench.result.tables import Table
from workbench.result.views import Curve, Heatmap, View

Pair = tuple[Result, Result]


def draw_difference(pair: Pair, view: View, *, names: tuple[str, str]) -> go.Figure | None:
    """Draw what a view shows of two results and the second minus the first.

    None is returned for views that have no difference, or where only one result has the table.
    """
    if isinstance(view, Curve) and all(view.table in r.tables for r in pair):
        return _curves(pair, view, names)
    if isinstance(view, Heatmap) and all(
        view.table in r.tables or view.table in r.arrays for r in pair
    ):
        return _heatmaps(pair, view)
    return None


def estimate_differences(pair: Pair, *, names: tuple[str, str]) -> Table:
    """List every estimate of either result with both values and the second minus the first."""
    left, right = ({e.name: e for e in r.estimates} for r in pair)
    rows = []
    for name in dict.fromkeys([*left, *right]):
        row: dict[str, Any] = {"estimate": name}
        for who, side in zip(names, (left, right), strict=True):
            found = side.get(name)
            row[who] = found.value if found else None
            row[f"{who} low"] = found.low if found else None
            row[f"{who} high"] = found.high if found else None
        a, b = row[names[0]], row[names[1]]
        row["difference"] = None if a is None or b is None else b - a
        row["unit"] = (left.get(name) or right[name]).unit
        rows.append(row)
    return Table.from_rows(rows)


def draw_estimate_pairs(pair: Pair, *, names: tuple[str, str]) -> go.Figure | None:
    """Draw the estimates both results hold, each with its interval, one panel per unit."""
    shared = [e.name for e in pair[0].estimates if e.name in {f.name for f in pair[1].estimates}]
    found = [(pair[0].estimate(n), pair[1].estimate(n)) for n in shared]
    found = [both for both in found if all(e.value is not None for e in both)]
    if not found:
        return None
    units = list(dict.fromkeys(a.unit for a, _ in found))
    figure = make_subplots(
        rows=len(units), cols=1, row_heights=[sum(a.unit == u for a, _ in found) for u in units]
    )
    for row, unit in enumerate(units, start=1):
        for side, name in enumerate(names):
            part = [both[side] for both in found if both[0].unit == unit]
            trace = estimate_points(part).update(
                name=figure_text(name), marker_color=PALETTE[side], legendgroup=name
            )
            figure.add_trace(trace.update(showlegend=row == 1), row=row, col=1)
        figure.update_xaxes(title_text=figure_text(unit) or "value", row=row, col=1)
    dressed(figure, "Estimates of both runs", height=120 + 70 * len(units) + 34 * len(found))
    figure.update_yaxes(type="category", autorange="reversed", automargin=True)
    return figure


def _curves(pair: Pair, view: Curve, names: tuple[str, str]) -> go.Figure:
    both = [list(lines_of(result.table(view.table), replace(view, control=()))) for result in pair]
    shared = [q.name for q in both[0] if q.name in {r.name for r in both[1]}]
    titles = [t for name in shared for t in (name, f"{names[1]} − {names[0]}")]
    figure = make_subplots(
        rows=max(len(shared), 1), cols=2, subplot_titles=[*map(figure_text, titles)]
    )
    for row, name in enumerate(shared, start=1):
        lines = [next(q for q in side if q.name == name) for side in both]
        for k, line in enumerate(lines):
            for trace in _side(line, PALETTE[k], figure_text(names[k]), show=row == 1):
                figure.add_trace(trace, row=row, col=1)
        figure.add_trace(_difference(lines), row=row, col=2)
        figure.add_hline(y=0, line={"color": CONTROL, "dash": "dash"}, row=row, col=2)
        figure.update_yaxes(title_text=lines[0].unit or "value", row=row, col=1)
    dressed(figure, view.title, height=140 + 250 * max(len(shared), 1))
    figure.update_annotations(font_size=13)
    longest = max(pair, key=lambda result: len(result.table(view.table)))
    laid_out(
        figure, margin={"t": 84}, **scales(longest.table(view.table), replace(view, log_y=False))
    )
    for column in (1, 2):
        words = label(pair[0].table(view.table), view.x)
        figure.update_xaxes(title_text=words, row=max(len(shared), 1), col=column)
    return figure


def _side(line: Line, colour: str, name: str, *, show: bool) -> list[go.Scatter]:
    drawn = line_trace(replace(line, name=name), colour).update(showlegend=show)
    return [band_trace(line, colour), drawn] if line.has_band else [drawn]


def _difference(lines: list[Line]) -> go.Scatter:
    right = dict(zip(lines[1].x, lines[1].y, strict=True))
    points = [
        (x, right[x] - y)
        for x, y in zip(lines[0].x, lines[0].y, strict=True)
        if y is not None and right.get(x) is not None
    ]
    return go.Scatter(
        x=[p[0] for p in points],
        y=[p[1] for p in points],
        mode="lines+markers",
        marker={"size": 4},
        line={"color": PALETTE[2]},
        showlegend=False,
        hovertemplate=f"difference %{{y:.6g}} {lines[0].unit}<br>at %{{x}}<extra></extra>",
    )


def _heatmaps(pair: Pair, view: Heatmap) -> go.Figure | None:
    left, right = (grid_of(result, view) for result in pair)
    rows = [r for r in left.rows if r in right.rows]
    columns = [c for c in left.columns if c in right.columns]
    if not rows or not columns:
        return None
    cells = [
        pd.DataFrame(g.values, index=g.rows, columns=g.columns).loc[rows, columns]
        for g in (left, right)
    ]
    difference = (cells[1] - cells[0]).to_numpy(dtype=np.float64)
    long = Table.from_rows(
        {"row": r, "column": c, view.value: float(difference[i, j])}
        for i, r in enumerate(rows)
        for j, c in enumerate(columns)
    )
    plain = replace(view, text="", group="", details=())
    shown = replace(plain, table="d", row="row", column="column", diverging=True)
    return draw_heatmap(
        Result(summary="", tables={"d": long}), replace(shown, title=f"{view.title} — difference")
    )
