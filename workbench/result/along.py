"""Estimates of every place along an axis, and of one place by another on the same units."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from workbench.result.estimate import Estimate
from workbench.result.levels import VALUE
from workbench.result.pivots import NoInterval
from workbench.result.resampling import left_out
from workbench.result.samples import Samples


def estimates_along(found: Samples, metric: str, control: str = "") -> tuple[Estimate, ...]:
    """Return the estimate at every label of a metric's first axis."""
    axis = found.metrics[metric].unit_axes[0]
    return tuple(found.estimate(metric, control, {axis: x}) for x in found.axes_of[axis].labels)


def ratios_along(found: Samples, metric: str, base: Any) -> tuple[Estimate, ...]:
    """Return the ratio of every other label to `base`, none where that is no label."""
    axis = found.metrics[metric].unit_axes[0]
    labels = found.axes_of[axis].labels
    others = [label for label in labels if label != base and base in labels]
    return tuple(ratio_estimate(found, metric, {axis: x}, {axis: base}) for x in others)


def ratio_estimate(
    found: Samples, metric: str, at: Mapping[str, Any], base: Mapping[str, Any]
) -> Estimate:
    """Return a metric at some labels divided by that at others, leaving out the same units."""
    cells, place = found.cells(metric, VALUE, at)
    value, without, _ = found.left_out(cells, place)
    below, without_below, _ = found.left_out(cells, found.cells(metric, VALUE, base)[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = float(np.divide(value, below))
        shares = np.asarray(without / without_below)
    is_known = bool(np.isfinite(share))
    interval = left_out(share, shares) if is_known else NoInterval("undefined")
    unit, (to, by) = (
        found.metrics[metric].unit,
        (".".join(map(str, x.values())) for x in (at, base)),
    )
    return Estimate(
        name=f"{metric}_ratio.{to}",
        value=share if is_known else None,
        unit=f"{unit} per {unit} of {by}",
        n=len(found.keys),
        n_unit=found.unit,
        low=interval.low,
        high=interval.high,
        method=interval.method,
        note="" if is_known else f"the {found.unit} are too few or too short for it",
    )
