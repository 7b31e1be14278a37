"""From what a study measured per unit to the Result that every front end shows."""

from collections.abc import Mapping, Sequence
from functools import reduce
from types import MappingProxyType
from typing import Any

from workbench.methods.per_unit_report import axis_table, cautions, estimates_of, view_of
from workbench.methods.shown import columns_of
from workbench.result.estimate import Estimate
from workbench.result.filled_views import filled
from workbench.result.metric import Axes, Plot
from workbench.result.readings import Readings
from workbench.result.result import Note, Result
from workbench.result.samples import Samples
from workbench.result.tables import Column, Table
from workbench.result.views import View

Rows = Sequence[Mapping[str, Any]]
_NONE: Mapping[str, Any] = MappingProxyType({})


def study_report(  # noqa: PLR0913 - what a study knows, each in its own words
    found: Samples | Readings | Sequence[Samples],
    *,
    summary: str,
    averages: Mapping[str, Axes] = _NONE,
    rows: Mapping[str, Rows | Table] = _NONE,
    columns: Mapping[str, Column] = _NONE,
    plots: Sequence[Plot | View] = (),
    estimates: Sequence[Estimate] | None = None,
    notes: Sequence[Note] = (),
) -> Result:
    """Lay averages and rows out as tables, with estimates, cautions and the charts they can fill.

    `averages` name a table for each set of axes; where several samples (texts, batches) have the
    same axes their columns stand side by side. `rows` are tables of what was seen one by one:
    their columns are described by `columns`, else by the metrics. Tables without rows are left out,
    and so are charts of them. Without `estimates` every metric with a headline has one.
    """
    samples: list[Samples | Readings] = (
        [found] if isinstance(found, Samples | Readings) else list(found)
    )
    tables = _tables(samples, averages, rows, columns)
    named = {axes: name for name, axes in averages.items()}
    views = (
        view_of(plot, _with_axes(samples, plot.axes)[0], tables, named.get(plot.axes, ""))
        if isinstance(plot, Plot)
        else plot
        for plot in plots
        if not isinstance(plot, Plot) or _with_axes(samples, plot.axes)
    )
    return Result(
        summary=summary,
        estimates=tuple(
            [e for one in samples if isinstance(one, Samples) for e in estimates_of(one)]
            if estimates is None
            else estimates
        ),
        tables=tables,
        notes=(*cautions(samples[0]), *notes),
        views=tuple(v for view in views if view and (v := filled(view, tables)) is not None),
    )


def _tables(
    samples: Sequence[Samples | Readings],
    averages: Mapping[str, Axes],
    rows: Mapping[str, Rows | Table],
    columns: Mapping[str, Column],
) -> dict[str, Table]:
    """Return every table that has a row, its columns described."""
    about: dict[str, Column] = {}
    for one in samples:
        about |= columns_of(one.metrics, one.controls_of)
    about |= columns
    tables = {name: _averaged(samples, axes) for name, axes in averages.items()}
    tables |= {
        name: some if isinstance(some, Table) else described(some, about)
        for name, some in rows.items()
    }
    return {name: table for name, table in tables.items() if len(table)}


def described(rows: Rows, columns: Mapping[str, Column]) -> Table:
    """Return rows as a table with the columns that are known of them."""
    names = dict.fromkeys(name for row in rows for name in row)
    return Table.from_rows(rows, {name: columns[name] for name in names if name in columns})


def _averaged(samples: Sequence[Samples | Readings], axes: Axes) -> Table:
    """Return a row per place that any unit reached, with the columns of all samples."""
    parts = []
    for one in _with_axes(samples, axes):
        table = axis_table(one, axes, control_intervals=True)
        reached = table.frame[f"n_{one.unit}"] > 0 if isinstance(one, Samples) else slice(None)
        parts.append(Table(table.frame[reached], table.columns))
    return reduce(lambda a, b: a.beside(b, on=axes), parts) if parts else described([], {})


def _with_axes(samples: Sequence[Samples | Readings], axes: Axes) -> list[Samples | Readings]:
    return [
        one
        for one in samples
        if (
            axes == ("layer",)
            if isinstance(one, Readings)
            else any(a == axes for _, _, a in one.sums)
        )
    ]
