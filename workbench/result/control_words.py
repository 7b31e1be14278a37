"""A control in words: what it is, with its own number of units and its own interval."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from workbench.result.estimate import Estimate, format_number
from workbench.result.intervals import grouped_interval


def with_control(
    found: Estimate,
    name: str,
    values: Sequence[float],
    *,
    groups: Sequence[object] | None = None,
    generator: np.random.Generator,
    resamples: int = 1000,
) -> Estimate:
    """Return an estimate beside the mean of its control, whose name carries its n and interval.

    A control may be drawn for fewer units than the estimate is about, so it never stands under
    the estimate's n. `groups` are what the values are clustered by. Where there are too few
    groups for an interval, the name carries the range of the values; without values the control
    is undefined and says so.
    """
    if not values:
        return replace(found, control=None, control_name=f"{name}: none drawn")
    labels = (
        [str(g) for g in groups] if groups is not None else [str(i) for i in range(len(values))]
    )
    interval = grouped_interval(
        [float(v) for v in values], labels, generator=generator, resamples=resamples
    )
    if interval is None or interval.low is None or interval.high is None:
        told = f"range {format_number(min(values))} to {format_number(max(values))}"
    else:
        told = f"[{format_number(interval.low)}, {format_number(interval.high)}]"
    shared = f" of {len(set(labels))} groups" if len(set(labels)) < len(values) else ""
    return replace(
        found,
        control=sum(values) / len(values),
        control_name=f"{name}, n = {len(values)}{shared}, {told}:",
    )
