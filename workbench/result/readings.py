"""Metrics at every place along one axis, with intervals from leaving out groups of units.

For quantities that are no averages over units: spectra, nearest neighbours, cosines of all pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.result.estimate import Estimate
from workbench.result.metric import LAYER, Axes, Axis, Control, Metric
from workbench.result.pivots import Interval, NoInterval
from workbench.result.resampling import left_out
from workbench.result.samples import VALUE, Mean
from workbench.result.tables import Column

CONTROL = "control"
NO_GROUPS = "there are no groups to leave out"
Scale = Callable[[Float[np.ndarray, "..."]], Float[np.ndarray, "..."]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Null:
    """What data without the effect gives, its spread over `draws`, and what that data is.

    No draws: the value is exact.
    """

    value: Float[np.ndarray, " place"]
    spread: Float[np.ndarray, " place"] | None = None
    draws: int = 0
    name: str = ""

    def told(self, place: int) -> str:
        """Name the control and say how it was found."""
        made = f"mean of {self.draws} draw{'s' * (self.draws != 1)}" if self.draws else "exact"
        sd = np.nan if self.spread is None else self.spread[place]
        return f"{self.name}, {made}" + (f", sd {sd:.2g}" if np.isfinite(sd) else "")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """One metric at every place: its values, and those without each group of units.

    NaN is undefined, for the reason told of that place. `sizes` count what the groups hold.
    Intervals are made of these numbers and told on the scale of the metric by the increasing
    function `told`; `less` is subtracted at the end. An `is_extreme` statistic, such as a largest
    eigenvalue, is too large in few units, and the jackknife takes off too little or too much of
    that: its interval is symmetric and holds those about both values.
    """

    value: Float[np.ndarray, " place"]
    reasons: Sequence[str]
    without: Float[np.ndarray, "place group"] | None = None
    sizes: Float[np.ndarray, "place group"] | Float[np.ndarray, " group"] | None = None
    no_interval: str = NO_GROUPS
    told: Scale | None = None
    less: Float[np.ndarray, " place"] | None = None
    is_extreme: bool = False
    control: Null | None = None

    def values(self) -> Float[np.ndarray, " place"]:
        """Return the values on the scale of the metric."""
        return self._less(self.value if self.told is None else self.told(self.value))

    def interval(self, metric: Metric, place: int) -> Interval | NoInterval:
        """Return the interval at a place, or why there is none."""
        value, sizes = float(self.value[place]), self.sizes
        if np.isnan(value) or self.without is None or not self.without.shape[1]:
            return NoInterval(self.no_interval)
        without = self.without[place]
        of_place = sizes[place] if sizes is not None and sizes.ndim == 2 else sizes
        there = slice(None) if of_place is None else of_place > 0
        found = left_out(value, without[there], None if of_place is None else of_place[there])
        if not found:
            return found
        low, high = found.low, found.high
        if self.is_extreme:
            reach = max(high - value, value - low, (high - low) / 2)
            low, high = value - reach, value + reach
        ends = np.array([low, value, high])
        low, value, high = (ends if self.told is None else self.told(ends)).tolist()
        told = Interval(low, high, found.level, found.method)
        if metric.bounds is not None:
            told = told.within(*metric.bounds)
        told = told.holding(value)
        less = 0.0 if self.less is None else float(self.less[place])
        return Interval(told.low - less, told.high - less, told.level, told.method)

    def _less(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x if self.less is None else x - self.less


@dataclass(frozen=True, kw_only=True, eq=False)
class Readings:
    """Metrics at the layers of a model, read from `n` units of `n_given`.

    `facts` are further columns of the table, with their description.
    """

    metrics: Mapping[str, Metric]
    found: Mapping[str, Reading]
    layers: tuple[int, ...]
    sites: tuple[str, ...]
    n: int
    n_given: int
    unit: str = "texts"
    controls_of: Mapping[str, Control] = field(default_factory=dict)
    facts: Mapping[str, tuple[NDArray[Any], Column]] = field(default_factory=dict)
    layer: Axis = LAYER

    @property
    def axes_of(self) -> dict[str, Axis]:
        """The one axis, with its labels."""
        return {"layer": Axis(help=self.layer.help, unit=self.layer.unit, labels=self.layers)}

    @property
    def controls(self) -> tuple[str, ...]:
        """The kinds of controls."""
        return tuple(self.controls_of)

    def n_of(self, metric: str, kind: str = VALUE) -> int:
        """How many units gave the metric: all, since none gives one alone."""
        return self.n

    def has(self, metric: str, kind: str = VALUE, axes: Axes = ()) -> bool:
        """Whether the metric is told along those axes."""
        return axes == ("layer",)

    def mean(
        self,
        metric: str,
        kind: str = VALUE,
        axes: Axes | None = None,
        *,
        with_interval: bool = False,
    ) -> Mean:
        """Return the values of a metric, or of its control, at every place."""
        none = np.full(len(self.layers), np.nan)
        n = np.full(len(self.layers), self.n)
        reading = self.found.get(metric)
        if reading is None or (kind != VALUE and reading.control is None):
            return Mean(value=none, low=none, high=none, n=n, spread=none)
        if kind != VALUE and reading.control is not None:
            sd = none if reading.control.spread is None else reading.control.spread
            return Mean(value=reading.control.value, low=none, high=none, n=n, spread=sd)
        low, high = none.copy(), none.copy()
        for place, interval in enumerate(self._intervals[metric] if with_interval else ()):
            if interval:
                low[place], high[place] = interval.low, interval.high
        return Mean(value=reading.values(), low=low, high=high, n=n)

    def estimates(self, places: Sequence[int]) -> tuple[Estimate, ...]:
        """Return every metric at some places, named after metric and site."""
        return tuple(
            self._estimate(name, reading, place)
            for place in places
            for name, reading in self.found.items()
        )

    def undefined(self) -> list[tuple[str, int, str]]:
        """Return metric, place and reason of every value that there is not."""
        return [
            (name, place, reading.reasons[place])
            for place in range(len(self.layers))
            for name, reading in self.found.items()
            if np.isnan(reading.values()[place])
        ]

    @cached_property
    def _intervals(self) -> dict[str, list[Interval | NoInterval]]:
        places = range(len(self.layers))
        return {
            name: [reading.interval(self.metrics[name], place) for place in places]
            for name, reading in self.found.items()
        }

    def _estimate(self, name: str, reading: Reading, place: int) -> Estimate:
        value, control = float(reading.values()[place]), reading.control
        is_there = np.isfinite(value)
        interval = self._intervals[name][place]
        null = None if control is None else float(control.value[place])
        if null is not None and np.isnan(null):
            null = None
        return Estimate(
            name=f"{name}.{self.sites[place]}",
            value=value if is_there else None,
            unit=self.metrics[name].unit,
            n=self.n,
            n_unit=self.unit,
            low=interval.low,
            high=interval.high,
            method=interval.method,
            control=null,
            control_name=control.told(place) if control is not None and null is not None else "",
            note="" if is_there else reading.reasons[place],
        )
