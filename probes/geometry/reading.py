"""One metric of one layer, with its interval and its control."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from probes.geometry.spectrum import Undefined, Value
from workbench.result.intervals import Interval, jackknife_interval

_POSITIVE = frozenset(
    (
        "participation_ratio",
        "participation_ratio_corrected",
        "effective_rank",
        "effective_rank_eigenvalues",
        "stable_rank",
        "two_nn_dimension",
    )
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value with its interval, and what isotropic data would give."""

    value: Value
    interval: Interval | None = None
    control: float | None = None

    @property
    def number(self) -> float | None:
        """The value, None where it is undefined."""
        return number(self.value)

    @property
    def reason(self) -> str:
        """Why the value is undefined, if it is."""
        return self.value.reason if isinstance(self.value, Undefined) else ""

    def mapped(self, function: Callable[[float], float]) -> "Reading":
        """Return an increasing function of the value, its interval and its control."""
        if isinstance(self.value, Undefined):
            return self
        return Reading(
            value=function(self.value),
            interval=_map(self.interval, function),
            control=None if self.control is None else function(self.control),
        )

    def less_control(self) -> "Reading":
        """Subtract the control, taken as known, from the value and its interval."""
        base = self.control
        if isinstance(self.value, Undefined):
            return Reading(value=self.value)
        if base is None:
            return Reading(value=Undefined("the control is undefined"))
        return self.mapped(lambda value: value - base)


def number(value: Value) -> float | None:
    """Return a value that exists, None for one that does not."""
    return None if isinstance(value, Undefined) else value


def jackknifed(
    name: str,
    value: Value,
    left_out: Float[np.ndarray, " group"],
    control: float | None = None,
) -> Reading:
    """Return a reading whose interval comes from values without one group of texts each.

    Made on the logarithm for metrics that are positive, so that the bounds are too.
    """
    if isinstance(value, Undefined) or not np.isfinite(left_out).all():
        return Reading(value=value, control=control)
    if name not in _POSITIVE:
        interval = jackknife_interval(value, left_out)
        return Reading(value=value, interval=interval, control=control)
    if value <= 0 or bool((left_out <= 0).any()):
        return Reading(value=value, control=control)
    found = jackknife_interval(math.log(value), np.log(left_out))
    interval = _map(found, lambda v: math.exp(min(v, 700.0)))
    return Reading(value=value, interval=interval, control=control)


def _map(interval: Interval | None, function: Callable[[float], float]) -> Interval | None:
    if interval is None:
        return None
    return Interval(
        function(interval.low), function(interval.high), interval.level, interval.method
    )
