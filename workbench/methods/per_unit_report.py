"""From numbers per unit to the Result that every front end shows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import TooLittleData
from workbench.methods.contracts import Context
from workbench.methods.shown import ShownText, shown_tables
from workbench.result.estimate import singular
from workbench.result.grid import GRID, TOKENS
from workbench.result.metric import Axes, Plot
from workbench.result.readings import Readings
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Curve, Heatmap, TokenStrip

if TYPE_CHECKING:
    from workbench.methods.per_unit import PerUnit

_FEW = 10
_SPREAD = "Standard deviation of that over draws; empty where it is not drawn."


def report(
    probe: "PerUnit", found: Samples | None, texts: Sequence[ShownText], context: Context
) -> Result:
    """Lay the averages out: a table per axis, estimates, the grid, charts and cautions.

    Raises:
        TooLittleData: no text was long enough.
    """
    if found is None or not found.n:
        raise TooLittleData("no text is long enough to be measured", hint="give longer texts")
    named = {axes: f"{axes[-1]}s" for axes in axes_of(found)}
    tables = {name: axis_table(found, axes) for axes, name in named.items()}
    tables |= shown_tables(texts, probe.metrics, probe.controls_of, found.layers, probe.words_of)
    first = next(iter(texts), None)
    views = (
        view_of(p, found, tables, named.get(p.axes, "")) if isinstance(p, Plot) else p
        for p in probe.plots
    )
    return Result(
        summary=probe.summary(found),
        estimates=estimates_of(found),
        tables=tables,
        arrays=dict(first.arrays) if first else {},
        notes=(*cautions(found), *_of_format(context), *probe.notes(found)),
        views=tuple(view for view in views if view is not None),
    )


def estimates_of(found: Samples) -> tuple[Any, ...]:
    """Return the estimate of every metric that has a headline, beside the first control."""
    first = next(iter(found.controls), "")
    measured = {name for kind, name, _ in found.sums if kind == VALUE}
    return tuple(
        found.estimate(name, first)
        for name, metric in found.metrics.items()
        if name in measured and metric.headline is not None and metric.is_averaged
    )


def axes_of(found: Samples) -> list[Axes]:
    """Return every set of axes that has a table: those of the metrics and their beginnings."""
    axes = {axes for kind, _, axes in found.sums if kind == VALUE and axes}
    return sorted(axes, key=lambda a: (len(a), a))


def axis_table(found: Samples | Readings, axes: Axes, *, control_intervals: bool = False) -> Table:
    """Return a row per place along the axes: every metric, its interval and its controls."""
    columns: dict[str, NDArray[Any]] = {}
    about = {axis: Column(found.axes_of[axis].unit, found.axes_of[axis].help) for axis in axes}
    is_by_layer = axes == ("layer",) and bool(found.sites)
    if is_by_layer:
        about["site"] = Column(help="Where the states were read.")
    for name, metric in found.metrics.items():
        if not found.has(name, axes=axes):
            continue
        mean = found.mean(name, axes=axes, with_interval=True)
        columns |= {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high}
        about |= _interval_columns(name, Column(metric.unit, metric.help))
        for kind in found.controls:
            if found.has(name, kind, axes):
                null = found.mean(name, kind, axes, with_interval=control_intervals)
                columns[f"{name}_{kind}"] = null.value
                words = found.controls_of[kind]
                about[f"{name}_{kind}"] = Column(
                    metric.unit, f"Control: {words.help or words.name}.", control_of=name
                )
                if null.spread is not None:
                    columns[f"{name}_{kind}_sd"] = null.spread
                    about[f"{name}_{kind}_sd"] = Column(metric.unit, _SPREAD)
                elif control_intervals:
                    columns |= {f"{name}_{kind}_low": null.low, f"{name}_{kind}_high": null.high}
                    about |= _interval_columns(f"{name}_{kind}", about[f"{name}_{kind}"])
    counts = _counts(found, axes) if isinstance(found, Samples) else found.facts
    shape = np.broadcast_shapes(*(x.shape for x in columns.values()))
    flat = {name: np.broadcast_to(x, shape).reshape(-1) for name, x in columns.items()}
    rows = []
    for i, place in enumerate(np.ndindex(shape)):
        row: dict[str, Any] = {
            axis: found.axes_of[axis].label(k) for axis, k in zip(axes, place, strict=True)
        }
        row |= {"site": found.sites[place[0]]} if is_by_layer else {}
        row |= {name: float(x[i]) if np.isfinite(x[i]) else None for name, x in flat.items()}
        rows.append({**row, **{name: n[place].item() for name, (n, _) in counts.items()}})
    return Table.from_rows(rows, about | {name: column for name, (_, column) in counts.items()})


def _interval_columns(name: str, about: Column) -> dict[str, Column]:
    return {
        name: replace(about, low=f"{name}_low", high=f"{name}_high"),
        f"{name}_low": Column(about.unit, "Lower end of the 95 % interval."),
        f"{name}_high": Column(about.unit, "Upper end of the 95 % interval."),
    }


def _counts(found: Samples, axes: Axes) -> dict[str, tuple[NDArray[np.int64], Column]]:
    """Return how many units each place has, and has of controls where these are fewer."""
    unit = found.unit
    counted = _most(found, VALUE, axes)
    counts = {f"n_{unit}": (counted, Column(unit, f"{unit.capitalize()} averaged over."))}
    for kind in found.controls:
        n = _most(found, kind, axes)
        words = found.controls_of[kind]
        if n.size and (words.is_partial or (n != counted).any()):
            help_ = f"{unit.capitalize()} compared with {words.help or words.name}."
            counts[f"n_{kind}"] = (n, Column(unit, help_))
    return counts


def _most(found: Samples, kind: str, axes: Axes) -> NDArray[np.int64]:
    counts = [x.sum(axis=0) for (k, _, a), x in found.counts.items() if (k, a) == (kind, axes)]
    return np.asarray(np.max(counts, axis=0) if counts else (), dtype=np.int64)


def cautions(found: Samples | Readings) -> list[Note]:
    """Say of any numbers per unit what must be said: few, left out or undefined."""
    n, left = found.n, found.n_given - found.n
    notes = []
    if n < _FEW:
        rough = "the intervals are rough" if n > 2 else "too few for intervals"
        units = found.unit if n > 1 else singular(found.unit)
        notes.append(Note(f"{n} {units} only: {rough}", "info", "few-texts"))
    if left:
        units = f"{left} {found.unit if left > 1 else singular(found.unit)}"
        notes.append(Note(f"{units} too short and not counted", "warning", "short"))
    for name, metric in found.metrics.items():
        missing = n - found.n_of(name)
        if metric.is_averaged and 0 < missing < n:
            notes.append(
                Note(f"{name} is undefined for {missing} of {n} {found.unit}", "info", "undefined")
            )
    for kind in found.controls_of:
        if kind not in found.controls:
            continue
        if not any(found.n_of(name, kind) for name in found.metrics):
            words = found.controls_of[kind].name
            notes.append(Note(f"nothing was compared with {words}", "warning", "control"))
    return notes


def _of_format(context: Context) -> list[Note]:
    dtype = context.spec.dtype if context.spec is not None else "float32"
    if dtype in ("float32", "float64"):
        return []
    return [Note(f"the model runs in {dtype}; small differences are rounding", "warning", "dtype")]


def view_of(
    plot: Plot, found: Samples | Readings, tables: Mapping[str, Table], table: str
) -> Curve | Bars | Heatmap | TokenStrip | None:
    """Draw metrics along their axes from the table that holds them, None where it is missing."""
    if "position" in plot.axes:
        return _over_text(plot, tables)
    if table not in tables:
        return None
    known = tables[table].frame.columns
    # What an option switched off has no column.
    drawn = tuple(name for name in plot.metrics if name in known)
    if not drawn:
        return None
    *row, column = plot.axes
    are_names = [isinstance(label, str) for axis in plot.axes for label in _labels(found, axis)[:1]]
    if row and are_names != [True, False]:
        return Heatmap(plot.title, table, row=row[0], column=column, value=drawn[0])
    control = tuple(
        f"{name}_{kind}" for name in drawn for kind in found.controls if f"{name}_{kind}" in known
    )
    if are_names == [True]:
        null = "".join(control[:1])
        return Bars(plot.title, table, x=column, y=drawn[0], control=null)
    return Curve(
        plot.title, table, x=column, y=drawn, group="".join(row), control=control, log_y=plot.log_y
    )


def _labels(found: Samples | Readings, axis: str) -> tuple[Any, ...]:
    return found.axes_of[axis].labels or (0,)


def _over_text(plot: Plot, tables: Mapping[str, Table]) -> Curve | Heatmap | TokenStrip | None:
    """Draw the shown texts: a map of layer and position, or a strip of tokens."""
    name = GRID if len(plot.axes) == 2 else TOKENS
    if name not in tables:
        return None
    group = "text" if tables[name].frame["text"].nunique() > 1 else ""
    if name == GRID:
        return Heatmap(
            plot.title,
            GRID,
            row="layer",
            column="place",
            value=plot.metrics[0],
            text=plot.words,
            group=group,
        )
    if len(plot.metrics) > 1:
        known = tables[name].columns
        control = tuple(c for c, about in known.items() if about.control_of in plot.metrics)
        return Curve(plot.title, TOKENS, x="position", y=plot.metrics, control=control, group=group)
    return TokenStrip(
        plot.title, TOKENS, token="token", color=plot.metrics[0], group=group, flag="ends_sentence"
    )
