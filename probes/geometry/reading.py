"""One metric of one layer, with its interval and its control."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from probes.geometry.control import Null
from probes.geometry.spectrum import Undefined, Value
from workbench.result.intervals import Interval, NoInterval, left_out

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
_INFINITE = math.inf
_RANGES = {
    "mean_cosine": (-1.0, 1.0),
    "su_collier_pooled": (0.0, 2.0),
    "su_collier_per_text": (0.0, 2.0),
    "intra_sentence_similarity": (-1.0, 1.0),
    "participation_ratio": (1.0, _INFINITE),
    "effective_rank": (1.0, _INFINITE),
    "effective_rank_eigenvalues": (1.0, _INFINITE),
    "stable_rank": (1.0, _INFINITE),
    "isoscore_star": (0.0, 1.0),
    "log_partition_isotropy": (-_INFINITE, 0.0),
    "self_similarity": (-1.0, 1.0),
    "max_explained_variance": (0.0, 1.0),
}
_UNKNOWN = NoInterval("there are no groups to leave out")
_CHOSEN = NoInterval("the three dimensions are chosen on the same texts")
# A largest eigenvalue is too large in few texts, and the jackknife takes off too little or too
# much of that: their interval holds those about both values.
_EXTREME = frozenset(("stable_rank", "max_explained_variance"))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A value with its interval or why it has none, and what isotropic data would give."""

    value: Value
    interval: Interval | NoInterval = _UNKNOWN
    control: Null | None = None

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
            control=None if self.control is None else self.control.mapped(function),
        )

    def at_most(self, limit: float) -> "Reading":
        """Return the reading with its interval cut at a value that cannot be passed."""
        if isinstance(self.value, Undefined) or not self.interval:
            return self
        cut = self.interval.within(-math.inf, limit).holding(self.value)
        return Reading(value=self.value, interval=cut, control=self.control)

    def less_control(self) -> "Reading":
        """Subtract the control, taken as known, from the value and its interval."""
        base = self.control
        if isinstance(self.value, Undefined):
            return Reading(value=self.value)
        if base is None:
            return Reading(value=Undefined("the control is undefined"))
        known = base.value
        moved = self.mapped(lambda value: value - known)
        return Reading(value=moved.value, interval=moved.interval, control=Null(value=0.0))


def number(value: Value) -> float | None:
    """Return a value that exists, None for one that does not."""
    return None if isinstance(value, Undefined) else value


def jackknifed(
    name: str,
    value: Value,
    without: Float[np.ndarray, " kept"],
    sizes: Float[np.ndarray, " group"],
    control: Null | None = None,
) -> Reading:
    """Return a reading whose interval comes from values without one group of texts each.

    Made on the logarithm for metrics that are positive, so that the bounds are too; no bound
    leaves the range of its metric. `sizes` count what the groups hold; `without` holds
    one value per group, none where the metric is undefined.
    """
    if isinstance(value, Undefined):
        return Reading(value=value, control=control)
    if name == "rogue_share":
        return Reading(value=value, interval=_CHOSEN, control=control)
    is_positive = name in _POSITIVE
    if is_positive and (value <= 0 or bool((without <= 0).any())):
        reason = NoInterval("the corrected value is not positive without one of the groups")
        return Reading(value=value, interval=reason, control=control)
    given, values = (math.log(value), np.log(without)) if is_positive else (value, without)
    found = left_out(given, values, sizes) if len(values) else _UNKNOWN
    if found and name in _EXTREME:
        reach = max(found.high - given, given - found.low, (found.high - found.low) / 2)
        found = Interval(given - reach, given + reach, found.level, found.method)
    if is_positive:
        found = _map(found, lambda v: math.exp(min(v, 700.0)))
    if found and name in _RANGES:
        found = found.within(*_RANGES[name]).holding(value)
    return Reading(value=value, interval=found, control=control)


def _map(
    interval: Interval | NoInterval, function: Callable[[float], float]
) -> Interval | NoInterval:
    if not interval:
        return interval
    return Interval(
        function(interval.low), function(interval.high), interval.level, interval.method
    )
