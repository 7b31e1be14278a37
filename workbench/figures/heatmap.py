"""A matrix as colours: from a named array, or from the long table (row, column, value, text)."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape, unescape
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import UnknownName
from workbench.figures.curves import plain_list
from workbench.figures.glyphs import figure_text
from workbench.figures.scales import Limits, colour_limits
from workbench.figures.theme import (
    DIVERGING,
    MONO,
    SEQUENTIAL,
    dressed,
    group_menu,
    label,
    laid_out,
)
from workbench.result.result import Result
from workbench.result.tables import Table
from workbench.result.views import Heatmap

_MOST_WORDS = 1600


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """A matrix with the names of its rows and columns and a word for each cell."""

    rows: list[Any]
    columns: list[Any]
    values: NDArray[np.float64]
    words: list[list[str]] | None
    details: list[list[str]] | None
    row_label: str
    column_label: str
    value_label: str


def draw_heatmap(result: Result, view: Heatmap) -> go.Figure:
    """Draw a matrix; a diverging one is centred on zero, words are written where they fit.

    With a group there is a menu of matrices, the first one shown.
    """
    grids = grids_of(result, view)
    values = np.concatenate([grid.values.ravel() for grid in grids.values()])
    ends = colour_limits(values, diverging=view.diverging)
    figure = go.Figure([_cells(grid, view, ends) for grid in grids.values()])
    first = next(iter(grids.values()))
    height = max(len(grid.values) for grid in grids.values())
    each = 22 if view.lines < 2 else 10 + 14 * view.lines
    # A menu that is higher than its figure would be cut off.
    least = max(320, 30 * len(grids) + 140)
    tall = min(max(each * height + 140, least), 820 * min(view.lines, 2))
    dressed(figure, view.title, height=tall)
    laid_out(
        figure,
        x={"title": {"text": first.column_label}, "showgrid": False, **_axis(first.columns)},
        y={
            "title": {"text": first.row_label},
            "showgrid": False,
            "autorange": "reversed",
            **_axis(first.rows),
            "tickangle": 0,
        },
    )
    return _with_menu(figure, list(grids)) if len(grids) > 1 else figure


def _cells(grid: Grid, view: Heatmap, ends: Limits) -> go.Heatmap:
    height, width = grid.values.shape
    return go.Heatmap(
        z=[[None if not np.isfinite(v) else float(v) for v in row] for row in grid.values],
        x=grid.columns,
        y=grid.rows,
        colorscale=DIVERGING if view.diverging else SEQUENTIAL,
        zmin=ends.low,
        zmax=ends.high,
        text=_cut_words(grid, view.lines),
        texttemplate="%{text}" if _words_fit(grid) else None,
        textfont={"family": MONO, **({"size": 10} if view.lines > 1 else {})},
        colorbar={"title": {"text": _scale_title(grid, ends), "side": "right"}, "thickness": 14},
        hovertext=_hover(grid),
        hovertemplate="%{hovertext}<extra></extra>",
        xgap=1 if width <= 60 else 0,
        ygap=1 if height <= 60 else 0,
    )


def _with_menu(figure: go.Figure, names: Sequence[str]) -> go.Figure:
    for i, trace in enumerate(figure.data):
        trace.visible = i == 0
    shown = [[{"visible": [i == at for i in range(len(names))]}] for at in range(len(names))]
    return group_menu(figure, names, shown)


def draw_matrix(
    values: Float[np.ndarray, "query key"],
    words: Sequence[str],
    *,
    title: str,
    axes: tuple[str, str],
    value: str,
) -> go.Figure:
    """Draw a square matrix between tokens, its rows and columns named by them.

    Cells that are exactly zero stay empty: in an attention pattern they lie ahead of the query.
    """
    names = [figure_text(word, blanks=True, limit=14) for word in words]
    shown = [[None if v == 0 or not np.isfinite(v) else float(v) for v in row] for row in values]
    hover = [
        [
            f"{figure_text(axes[0])}: {i} {names[i]}<br>{figure_text(axes[1])}: {j} {names[j]}<br>"
            f"{figure_text(value)}: {v:.6g}"
            for j, v in enumerate(row)
        ]
        for i, row in enumerate(values)
    ]
    trace = go.Heatmap(
        z=shown,
        colorscale=SEQUENTIAL,
        zmin=0,
        colorbar={"title": {"text": figure_text(value), "side": "right"}, "thickness": 14},
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    ticks = {
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "tickfont": {"family": MONO, "size": 10},
        "showgrid": False,
        "automargin": True,
    }
    height = min(max(16 * len(names) + 180, 380), 900)
    figure = dressed(go.Figure(trace), title, height=height)
    x, y = ({"title": {"text": figure_text(axes[i])}, **ticks} for i in (1, 0))
    return laid_out(figure, x={**x, "tickangle": -60}, y={**y, "autorange": "reversed"})


def grids_of(result: Result, view: Heatmap) -> dict[str, Grid]:
    """Find the matrices a `Heatmap` names, by value of its group; without one, a single matrix.

    Raises:
        UnknownName: the result holds no such table, column or array.
    """
    table = result.tables.get(view.table)
    if not view.group or table is None or not len(table):
        return {"": grid_of(result, view)}
    table[view.group]
    return {
        str(name): _from_table(Table(part, table.columns), view)
        for name, part in table.frame.groupby(view.group, sort=False)
    }


def grid_of(result: Result, view: Heatmap) -> Grid:
    """Find the matrix a `Heatmap` names, with a group that of its first value.

    Raises:
        UnknownName: the result holds no such table or array, or the array is not a matrix.
    """
    if view.table in result.tables:
        table = result.tables[view.table]
        if view.group and len(table):
            table = Table(
                table.frame[table[view.group] == table[view.group].iloc[0]], table.columns
            )
        return _from_table(table, view)
    array = result.arrays.get(view.table)
    if array is None or array.ndim != 2:
        known = ", ".join([*result.tables, *result.arrays]) or "nothing"
        raise UnknownName(
            f"{view.table!r} is no table and no matrix of the result; it holds {known}"
        )
    return Grid(
        rows=list(range(array.shape[0])),
        columns=list(range(array.shape[1])),
        values=array.astype(np.float64),
        words=None,
        details=None,
        row_label=figure_text(view.row.replace("_", " ")),
        column_label=figure_text(view.column.replace("_", " ")),
        value_label=figure_text(view.value.replace("_", " ")),
    )


def _from_table(table: Table, view: Heatmap) -> Grid:
    needed = [view.row, view.column, view.value, *([view.text] if view.text else [])]
    for column in (*needed, *view.details):
        table[column]
    rows = list(dict.fromkeys(table[view.row].tolist()))
    columns = list(dict.fromkeys(table[view.column].tolist()))
    place = ({name: i for i, name in enumerate(rows)}, {n: i for i, n in enumerate(columns)})
    values = np.full((len(rows), len(columns)), np.nan)
    words, details = ([[""] * len(columns) for _ in rows] for _ in range(2))
    for cell in table.frame[needed].itertuples(index=False, name=None):
        i, j = place[0][cell[0]], place[1][cell[1]]
        values[i, j] = np.nan if cell[2] is None else cell[2]
        if view.text and not pd.isna(cell[3]):
            words[i][j] = figure_text(cell[3], blanks=view.lines < 2)
    return Grid(
        rows=plain_list(pd.Series(rows, dtype=object)),
        columns=plain_list(pd.Series(columns, dtype=object)),
        values=values,
        words=words if view.text else None,
        details=_details(table, view, place, details) if view.details else None,
        row_label=label(table, view.row),
        column_label=label(table, view.column),
        value_label=label(table, view.value),
    )


def _details(
    table: Table,
    view: Heatmap,
    place: tuple[dict[Any, int], dict[Any, int]],
    found: list[list[str]],
) -> list[list[str]]:
    """Fill in what is shown of each cell when it is pointed at."""
    names = [(name, label(table, name)) for name in view.details]
    for row in table.frame[[view.row, view.column, *view.details]].to_dict("records"):
        at = place[0][row[view.row]], place[1][row[view.column]]
        lines = [f"{words}: {_told(row[name])}" for name, words in names]
        found[at[0]][at[1]] = "<br>".join(lines)
    return found


def _told(value: Any) -> str:
    if isinstance(value, float):
        return "–" if not np.isfinite(value) else f"{value:.4g}"
    return figure_text(value, limit=90)


def _scale_title(grid: Grid, ends: Limits) -> str:
    cut = " · some beyond the scale" if ends.cut_low or ends.cut_high else ""
    return grid.value_label + cut


def _hover(grid: Grid) -> list[list[str]]:
    return [
        [
            f"{grid.row_label} {grid.rows[i]}<br>{grid.column_label} {grid.columns[j]}<br>"
            + (f"{grid.words[i][j]}<br>" if grid.words and grid.words[i][j] else "")
            + f"{grid.value_label}: {'–' if not np.isfinite(v) else f'{v:.6g}'}"
            + (f"<br>{grid.details[i][j]}" if grid.details and grid.details[i][j] else "")
            for j, v in enumerate(row)
        ]
        for i, row in enumerate(grid.values)
    ]


def _cut_words(grid: Grid, lines: int) -> list[list[str]] | None:
    if grid.words is None:
        return None
    most = max(4, 100 // max(grid.values.shape[1], 1))
    if lines > 1:
        return [[_wrapped(word, 2 * most, lines) for word in row] for row in grid.words]
    return [[_cut(word, most) for word in row] for row in grid.words]


def _cut(word: str, most: int) -> str:
    plain = unescape(word)
    return word if len(plain) <= most else escape(plain[: most - 1] + "…", quote=False)


def _wrapped(word: str, most: int, lines: int) -> str:
    kept = wrap(unescape(word), most, max_lines=lines, placeholder="…")
    return "<br>".join(escape(line, quote=False) for line in kept)


def _words_fit(grid: Grid) -> bool:
    return grid.words is not None and grid.values.shape[1] <= 24 and grid.values.size <= _MOST_WORDS


def _axis(names: list[Any]) -> dict[str, Any]:
    if all(isinstance(name, int | float) for name in names):
        return {"tickmode": "array", "tickvals": names} if len(names) <= 16 else {}
    look = {"type": "category", "tickfont": {"family": MONO, "size": 10}, "automargin": True}
    return {**look, "tickangle": -60} if len(names) > 8 else look
