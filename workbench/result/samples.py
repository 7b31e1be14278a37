"""Numbers of independent units along named axes: averages, intervals and controls.

Up to `MOST_UNITS` units are kept one by one; beyond, units are added up in as many blocks as
their content's hash decides, so that memory stays the same and neither order nor batches matter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from workbench.result.control_words import with_control
from workbench.result.estimate import Estimate, singular
from workbench.result.levels import VALUE, Cells, levels_of, mean_of_defined
from workbench.result.metric import HEAD, LAYER, Axes, Axis, Control, Metric
from workbench.result.pivots import Interval, NoInterval
from workbench.result.sums import added, left_one_out, stacked
from workbench.result.unit_intervals import Part, gap_interval, unit_interval

MOST_UNITS = 4096
Place = tuple[int, ...]
__all__ = ["MOST_UNITS", "VALUE", "Cells", "Mean", "Samples", "mean_of_defined"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Mean:
    """Means over units with the ends of their intervals and how many units gave a number.

    Ends are NaN where there is no interval. `spread` is the standard deviation of a control over
    its draws, where it has one instead.
    """

    value: Float[np.ndarray, "*axes"]
    low: Float[np.ndarray, "*axes"]
    high: Float[np.ndarray, "*axes"]
    n: Int[np.ndarray, "*axes"]
    method: str = ""
    spread: Float[np.ndarray, "*axes"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """The numbers of units; row i of every array is that of one unit, or of a block of units.

    `sums[kind, metric, axes]` are sums over the defined numbers of a row, `counts` how many of
    them there are (0 or 1 for a single unit). `keys` are hashes of the units' content, `groups`
    of what they belong to: groups are drawn whole. `n_given` counts the units that were looked
    at, with those that gave no number. `axes_of` label the places along each axis, and `sites`
    say where the states of each layer were read.
    """

    metrics: Mapping[str, Metric]
    keys: Int[np.ndarray, " unit"]
    groups: Int[np.ndarray, " unit"]
    sums: Mapping[Cells, Float[np.ndarray, "unit ..."]]
    counts: Mapping[Cells, Int[np.ndarray, "unit *axes"]]
    n_given: int = 0
    is_blocked: bool = False
    unit: str = "texts"
    controls_of: Mapping[str, Control] = field(default_factory=dict)
    axes_of: Mapping[str, Axis] = field(default_factory=lambda: {"layer": LAYER, "head": HEAD})
    sites: Sequence[str] = ()

    @classmethod
    def of(  # noqa: PLR0913 - the numbers, what they mean and whose they are
        cls,
        values: Mapping[str, Mapping[str, NDArray[np.float64]]],
        metrics: Mapping[str, Metric],
        *,
        keys: Int[np.ndarray, " unit"] | None = None,
        groups: Int[np.ndarray, " unit"] | None = None,
        unit: str = "texts",
        controls_of: Mapping[str, Control] | None = None,
        axes_of: Mapping[str, Axis] | None = None,
    ) -> "Samples":
        """Keep `values[kind][metric]`, each `unit *axes` with NaN where undefined.

        Without `keys` no two units are the same; without `groups` each unit is one.
        """
        n = len(next(iter(values[VALUE].values()), ()))
        keys = np.arange(n, dtype=np.int64) if keys is None else keys
        levels = dict(levels_of(values, metrics))
        return cls(
            metrics=metrics,
            keys=keys,
            groups=keys if groups is None else groups,
            sums={cells: np.nan_to_num(x, nan=0.0) for cells, x in levels.items()},
            counts={c: _defined(x, metrics[c[1]]).astype(np.int64) for c, x in levels.items()},
            n_given=n,
            unit=unit,
            controls_of=controls_of or {},
            axes_of={"layer": LAYER, "head": HEAD, **(axes_of or {})},
        )

    def joined(self, *others: "Samples") -> "Samples":
        """Return these units and those of other parts of the data."""
        parts = [self, *others]
        if len({part.is_blocked for part in parts}) > 1:
            parts = [part if part.is_blocked else part.blocked() for part in parts]
        sizes = [len(part.keys) for part in parts]
        found = replace(
            parts[0],
            keys=np.concatenate([part.keys for part in parts]),
            groups=np.concatenate([part.groups for part in parts]),
            sums=stacked([part.sums for part in parts], sizes),
            counts=stacked([part.counts for part in parts], sizes),
            n_given=sum(part.n_given for part in parts),
        )
        if found.is_blocked or len(found.keys) > MOST_UNITS:
            return found.blocked()
        return found

    def blocked(self) -> "Samples":
        """Add the units of each block up; a block holds whole groups."""
        blocks = self.groups % MOST_UNITS
        present, row = np.unique(blocks, return_inverse=True)
        return replace(
            self,
            keys=present,
            groups=present,
            sums={cells: added(x, row, len(present)) for cells, x in self.sums.items()},
            counts={cells: added(x, row, len(present)) for cells, x in self.counts.items()},
            is_blocked=True,
        )

    @property
    def controls(self) -> tuple[str, ...]:
        """The kinds of controls there are, in the order in which they were declared."""
        there = {kind for kind, _, _ in self.sums} - {VALUE}
        return (*(k for k in self.controls_of if k in there), *sorted(there - {*self.controls_of}))

    @property
    def layers(self) -> tuple[Any, ...]:
        """The labels of the layers."""
        return self.axes_of["layer"].labels if "layer" in self.axes_of else ()

    @property
    def n(self) -> int:
        """How many units gave a number at all."""
        kinds = {name for kind, name, _ in self.counts if kind == VALUE}
        counted = [self._counted(name, VALUE) for name in kinds]
        return int(np.max(counted, axis=0).sum()) if counted else 0

    def n_of(self, metric: str, kind: str = VALUE) -> int:
        """How many units gave a number of that metric and kind."""
        return int(self._counted(metric, kind).sum())

    def has(self, metric: str, kind: str = VALUE, axes: Axes = ()) -> bool:
        """Whether there are numbers of that metric, kind and axes."""
        return (kind, metric, axes) in self.sums

    def mean(
        self,
        metric: str,
        kind: str = VALUE,
        axes: Axes | None = None,
        *,
        with_interval: bool = False,
    ) -> Mean:
        """Average over units, along `axes` (default: all that a unit has).

        A geometric metric is told as the geometric mean. An average of nothing is NaN.
        """
        cells = (kind, metric, self.metrics[metric].unit_axes if axes is None else axes)
        sums, counts = self.sums[cells], self.counts[cells]
        total = np.asarray(counts.sum(axis=0))
        of = self.metrics[metric].of
        with np.errstate(invalid="ignore", divide="ignore"):
            added_up = self._ordered(sums).sum(axis=0)
            value = np.asarray(added_up / total if of is None else of(added_up))
        low, high, method = np.full(value.shape, np.nan), np.full(value.shape, np.nan), ""
        if with_interval:
            for place in np.ndindex(value.shape):
                found = self._interval(cells, place)
                method = found.method
                if found:
                    low[place], high[place] = found.low, found.high
        if self.metrics[metric].geometric:
            value, low, high = np.exp(value), np.exp(low), np.exp(high)
        told = (np.asarray(part) for part in (value, low, high))
        return Mean(
            **dict(zip(("value", "low", "high"), told, strict=True)), n=total, method=method
        )

    def estimate(
        self, metric: str, control: str = "", at: Mapping[str, Any] | None = None, name: str = ""
    ) -> Estimate:
        """Average the headline part of a metric, beside a control that knows its own n.

        `at` gives the label of one place along the first axes of the metric instead.
        """
        cells, place = self.cells(metric, VALUE, at or {})
        found = self._estimate(cells, place, name)
        if found.value is None or not control or not self.has(metric, control, cells[2]):
            return found
        beside = self._estimate((control, *cells[1:]), place, name)
        name = self.controls_of.get(control, Control(control)).name
        if beside.n == found.n and beside.value is not None:
            found = found.against(beside.value, name)
        else:
            found = with_control(found, name, beside, self._told((control, *cells[1:]), place))
        own, null = (self._part((kind, *cells[1:]), place) for kind in (VALUE, control))
        groups, about = self._ordered(self.groups), self.metrics[metric]
        gap = gap_interval(own, null, groups, about, is_blocked=self.is_blocked)
        low, high = (gap.low, gap.high) if gap else (None, None)
        return replace(found, gap_low=low, gap_high=high)

    def cells(self, metric: str, kind: str, at: Mapping[str, Any]) -> tuple[Cells, Place]:
        """Return where the numbers at some labels are kept."""
        axes = tuple(axis for axis in self.metrics[metric].unit_axes if axis in at)
        place = tuple(self.axes_of[axis].labels.index(at[axis]) for axis in axes)
        return (kind, metric, axes), place

    def left_out(
        self, cells: Cells, place: Place
    ) -> tuple[float, Float[np.ndarray, " group"], Int[np.ndarray, " group"]]:
        """Return a value, the values without each group of units, and the sizes of the groups."""
        sums, counts = self._part(cells, place)
        there, of = counts > 0, self.metrics[cells[1]].of
        return left_one_out(sums[there], counts[there], self._ordered(self.groups)[there], of)

    def _told(self, cells: Cells, place: Place) -> list[float]:
        """Return the numbers of units as they are told, none where only sums are known."""
        about = self.metrics[cells[1]]
        if self.is_blocked or about.geometric or about.of is not None:
            return []
        there = _at(self.counts[cells], place) > 0
        return [float(x) for x in _at(self.sums[cells], place)[there]]

    def _estimate(self, cells: Cells, place: Place, name: str) -> Estimate:
        kind, metric, axes = cells
        about = self.metrics[metric]
        n = int(_at(self.counts[cells], place).sum()) if axes else self.n_of(metric, kind)
        labels = [str(self.axes_of[a].labels[i]) for a, i in zip(axes, place, strict=True)]
        name = name or ".".join((about.headline_name or metric, *labels))
        value = float(self.mean(metric, kind, axes).value[place]) if n else float("nan")
        if not np.isfinite(value):
            why = f"no {singular(self.unit)} has a number for it"
            if n:
                why = f"the {self.unit} are too few or too short for it"
            return Estimate(name=name, value=None, unit=about.unit, n=n, n_unit=self.unit, note=why)
        interval = self._interval(cells, place)
        low, high = interval.low, interval.high
        if about.geometric and interval:
            low, high = float(np.exp(interval.low)), float(np.exp(interval.high))
        return Estimate(
            name=name,
            value=value,
            unit=about.unit,
            n=n,
            n_unit=self.unit,
            low=low,
            high=high,
            method=interval.method,
            note=about.headline_note,
        )

    def _interval(self, cells: Cells, place: Place) -> Interval | NoInterval:
        part, groups = self._part(cells, place), self._ordered(self.groups)
        return unit_interval(part, groups, self.metrics[cells[1]], is_blocked=self.is_blocked)

    def _part(self, cells: Cells, place: Place) -> Part:
        sums, counts = (self._ordered(_at(x[cells], place)) for x in (self.sums, self.counts))
        return sums, counts

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        """The rows in the order of their content, so that the order of texts moves no bit."""
        return np.argsort(self.keys, kind="stable")

    def _ordered(self, x: NDArray[Any]) -> NDArray[Any]:
        return x[self._order]

    def _counted(self, metric: str, kind: str) -> Int[np.ndarray, " unit"]:
        found = [x for (k, name, _), x in self.counts.items() if (k, name) == (kind, metric)]
        if not found:
            return np.zeros(len(self.keys), np.int64)
        return np.asarray(found[0].reshape(len(self.keys), -1).max(axis=1, initial=0))


def _at(x: NDArray[Any], place: Place) -> NDArray[Any]:
    """Return what each unit has at one place."""
    at: Any = (slice(None), *place)
    return np.asarray(x[at])


def _defined(x: NDArray[np.float64], about: Metric) -> NDArray[np.bool_]:
    found = np.isfinite(x)
    return found if about.of is None else np.asarray(found.all(axis=-1))
