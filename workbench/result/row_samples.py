"""Numbers of units that were measured row by row: each row says its unit and its place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.result.levels import VALUE
from workbench.result.metric import Axis, Control, Metric
from workbench.result.samples import Samples

Row = Mapping[str, Any]


def samples_of(  # noqa: PLR0913 - rows, what they mean and how they belong together
    rows: Sequence[Row],
    metrics: Mapping[str, Metric],
    *,
    by: tuple[str, ...] = ("text",),
    group: str = "",
    kind: str = "",
    unit: str = "texts",
    controls_of: Mapping[str, Control] | None = None,
    axes_of: Mapping[str, Axis] | None = None,
    n_given: int | None = None,
) -> Samples:
    """Average the rows of each unit that stand at one place, and keep what each unit gave.

    `by` are the columns that tell units apart, `group` the one that tells groups of them. A metric
    stands in the column of its name and its control in `name_kind`; or the column `kind` says of
    which control a row is, and all others are values. A row without it, or with None, counts for
    nothing there. Metrics of no row are left out. The places along an axis are
    the values of its column, in their order of appearance unless `axes_of` gives labels.
    """
    units = {key: i for i, key in enumerate(dict.fromkeys(_key(row, by) for row in rows))}
    known = dict(axes_of or {})
    for axis in {axis for metric in metrics.values() for axis in metric.axes}:
        about = known.get(axis, Axis(help=""))
        if not about.labels:
            labels = tuple(dict.fromkeys(row[axis] for row in rows if axis in row))
            known[axis] = replace(about, labels=labels)
    values: dict[str, dict[str, NDArray[np.float64]]] = {VALUE: {}}
    for of in (VALUE, *(controls_of or {})):
        mine = [r for r in rows if not kind or _kind(r, kind, controls_of or {}) == of]
        for name, metric in metrics.items():
            column = name if kind else column_name(of, name)
            found = list(_numbers(mine, column, metric, known))
            if found and (of == VALUE or name in values[VALUE]):
                shape = (len(units), *(len(known[axis].labels) for axis in metric.axes))
                places = [(units[_key(row, by)], *place) for row, place, _ in found]
                numbers = [x for _, _, x in found]
                values.setdefault(of, {})[name] = _averaged(places, numbers, shape)
    groups = {key: row[group] for row in rows for key in [_key(row, by)]} if group else {}
    samples = Samples.of(
        values,
        {name: metric for name, metric in metrics.items() if name in values[VALUE]},
        groups=np.unique([groups[key] for key in units], return_inverse=True)[1] if group else None,
        unit=unit,
        controls_of=controls_of,
        axes_of=known,
    )
    return samples if n_given is None else replace(samples, n_given=n_given)


def column_name(kind: str, metric: str) -> str:
    """Return the column of a metric, or of a kind of control of it."""
    return metric if kind == VALUE else f"{metric}_{kind}"


def _kind(row: Row, column: str, controls_of: Mapping[str, Control]) -> str:
    return row[column] if row.get(column) in controls_of else VALUE


def _key(row: Row, by: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in by)


def _numbers(
    rows: Sequence[Row], column: str, metric: Metric, axes_of: Mapping[str, Axis]
) -> Iterator[tuple[Row, tuple[int, ...], float]]:
    at = {a: {label: i for i, label in enumerate(axes_of[a].labels)} for a in metric.axes}
    for row in rows:
        x = row.get(column)
        if x is not None and all(axis in row for axis in metric.axes):
            yield row, tuple(at[axis][row[axis]] for axis in metric.axes), float(x)


def _averaged(
    places: Sequence[tuple[int, ...]], numbers: Sequence[float], shape: tuple[int, ...]
) -> Float[np.ndarray, "unit *axes"]:
    sums, counts = np.zeros(shape), np.zeros(shape)
    at = tuple(np.array(places).T)
    np.add.at(sums, at, numbers)
    np.add.at(counts, at, 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(sums / counts)
