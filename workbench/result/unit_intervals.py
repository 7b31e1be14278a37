"""Intervals of averages over units, and of how far they lie from a control unit by unit."""

import math

import numpy as np
from jaxtyping import Float, Int

from workbench.result.means import mean_interval
from workbench.result.metric import Metric
from workbench.result.pivots import Bounds, Interval, NoInterval
from workbench.result.resampling import left_out
from workbench.result.sums import left_one_out

Part = tuple[Float[np.ndarray, "unit *part"], Int[np.ndarray, " unit"]]


def unit_interval(
    own: Part, groups: Int[np.ndarray, " unit"], about: Metric, *, is_blocked: bool = False
) -> Interval | NoInterval:
    """Return the interval of an average from the sums and counts of its units.

    Groups are drawn whole. Blocks of units, and quantities that are no mean, are left out one by
    one.
    """
    sums, counts = own
    there = counts > 0
    if not there.any():
        return NoInterval("there is no value")
    if about.of is None and not is_blocked:
        return mean_interval(sums[there], _drawn(groups[there]), bounds=about.bounds)
    value, without, sizes = left_one_out(sums[there], counts[there], groups[there], about.of)
    if not math.isfinite(value):
        return NoInterval("undefined")
    return left_out(value, without, sizes.astype(np.float64), bounds=about.bounds)


def gap_interval(
    own: Part,
    control: Part,
    groups: Int[np.ndarray, " unit"],
    about: Metric,
    *,
    is_blocked: bool = False,
) -> Interval | NoInterval:
    """Return the interval of the difference of two averages over the units that have both."""
    there = (own[1] > 0) & (control[1] > 0)
    if not there.any():
        return NoInterval("no unit has both")
    (own_sums, own_n), (null_sums, null_n) = ((x[there], n[there]) for x, n in (own, control))
    groups, bounds = groups[there], _of_difference(about.bounds)
    if about.of is None and not is_blocked:
        return mean_interval(own_sums - null_sums, _drawn(groups), bounds=bounds)
    value, without, sizes = left_one_out(own_sums, own_n, groups, about.of)
    null, null_without, _ = left_one_out(null_sums, null_n, groups, about.of)
    if not math.isfinite(value - null):
        return NoInterval("undefined")
    return left_out(value - null, without - null_without, sizes.astype(np.float64), bounds=bounds)


def _drawn(groups: Int[np.ndarray, " unit"]) -> Int[np.ndarray, " unit"] | None:
    """Return the groups, or None where each unit is its own."""
    return None if len(np.unique(groups)) == len(groups) else groups


def _of_difference(bounds: Bounds | None) -> Bounds | None:
    if bounds is None or not all(map(math.isfinite, bounds)):
        return None
    return bounds[0] - bounds[1], bounds[1] - bounds[0]
