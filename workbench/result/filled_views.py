"""Charts cut down to what the tables of a result can fill."""

from collections.abc import Mapping
from dataclasses import replace

from workbench.result.tables import Table
from workbench.result.views import Bars, GraphView, Heatmap, Points, TokenStrip, View


def filled(view: View, tables: Mapping[str, Table]) -> View | None:
    """Return a chart without the columns and groups that hold nothing; None where nothing is left.

    A curve needs two places, and bars need two rows.
    """
    if isinstance(view, GraphView) or view.table not in tables:
        return view if isinstance(view, GraphView) else None
    table = tables[view.table]
    if isinstance(view, Points):
        return view
    if isinstance(view, Bars):
        return view if len(table) > 1 and _has(table, view.y) else None
    if view.group and table[view.group].nunique() < 2:
        view = replace(view, group="")
    if isinstance(view, TokenStrip):
        rows = tuple(name for name in view.rows if _has(table, name))
        return replace(view, rows=rows, details=view.details if view.details in tables else "")
    if isinstance(view, Heatmap):
        return view if _has(table, view.value) else None
    y = tuple(name for name in view.y if _has(table, name))
    control = tuple(name for name in view.control if _has(table, name))
    is_curve = bool(y) and table[view.x].nunique() > 1
    return replace(view, y=y, control=control) if is_curve else None


def _has(table: Table, column: str) -> bool:
    return column in table.frame and bool(table[column].notna().any())
