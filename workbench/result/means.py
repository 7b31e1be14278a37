"""The interval of a mean over units, alone or in groups, from what is known of their values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.special import stdtrit

from workbench.errors import BadOption
from workbench.result.pivots import (
    EQUAL,
    FEWEST,
    Bounds,
    Interval,
    NoInterval,
    few,
    is_rounding,
    joined,
    skewness_of,
    student_hall,
)
from workbench.result.proportions import all_alike, clopper_pearson, paired_difference

Groups = Sequence[object] | NDArray[np.generic]
_FEW_GROUPS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class _Units:
    """Values, the group of each, and what groups add up to."""

    x: Float[np.ndarray, " n"]
    group: Int[np.ndarray, " n"]
    sums: Float[np.ndarray, " group"]
    sizes: Int[np.ndarray, " group"]
    name: str

    @classmethod
    def of(cls, values: NDArray[np.float64], groups: Groups | None) -> "_Units":
        if groups is None:
            group = np.arange(len(values))
        else:
            group = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
        sizes = np.bincount(group)
        alone = len(sizes) == len(values)
        return cls(
            x=values,
            group=group,
            sums=np.bincount(group, weights=values),
            sizes=sizes,
            name="unit" if alone else "group",
        )

    @property
    def mean(self) -> float:
        return float(self.x.mean())

    @property
    def effective(self) -> float:
        """How many groups of equal size would weigh as unevenly (Kish 1965)."""
        return float(self.sizes.sum() ** 2 / (self.sizes.astype(np.float64) ** 2).sum())

    @property
    def are_alone(self) -> bool:
        return len(self.sizes) == len(self.x)

    @property
    def residuals(self) -> Float[np.ndarray, " group"]:
        """By how much leaving each group out moves the mean, times the number of groups − 1."""
        rest = np.maximum(len(self.x) - self.sizes, 1)
        moved: NDArray[np.float64] = (self.sums - self.mean * self.sizes) / rest
        return moved * (len(self.sizes) - 1)

    @property
    def error(self) -> float:
        """The standard error of the mean by the delete-one-group jackknife."""
        g, e = len(self.sizes), self.residuals
        largest = float(np.abs(e).max())
        if largest == 0:
            return 0.0
        return math.sqrt(float(((e / largest) ** 2).sum()) / (g * (g - 1))) * largest


def mean_interval(
    values: Sequence[float] | Float[np.ndarray, " n"],
    groups: Groups | None = None,
    *,
    bounds: Bounds | None = None,
    level: float = 0.95,
) -> Interval | NoInterval:
    """Return the interval of a mean, or why there is none; groups are drawn whole.

    `bounds` are values that the quantity cannot leave, (0, 1) for a proportion. Where only the
    bounds themselves occur the interval is exact; a mean of −1, 0 and 1 has that of a paired
    difference; any other values have that of Student and Hall. Equal values tell nothing of their
    spread: with bounds they leave open what may have stayed unseen, without bounds there is no
    interval. Fewer than three units have none either, unless it is exact.

    Raises:
        BadOption: a value lies outside the bounds.
    """
    units = _Units.of(np.asarray(values, dtype=np.float64), groups)
    if not np.isfinite(units.x).all():
        return NoInterval("a value is not finite")
    if bounds is not None:
        exact = _bounded(units, bounds, level)
        if exact is not None:
            return exact.holding(units.mean)
    found = _nearly_normal(units, level)
    if not found:
        return found
    if bounds is None and len(ends := np.unique(units.x)) == 2:
        found = joined((found, _binomial(units, (ends[0], ends[1]), level)), found.method)
    elif bounds is not None:
        found = found.within(*bounds)
    return found.holding(units.mean)


def _nearly_normal(units: _Units, level: float) -> Interval | NoInterval:
    n = units.effective
    if n < FEWEST - 1e-9:
        return few(n, f"effective {units.name}" if n < len(units.sizes) else units.name)
    residuals = units.residuals
    if is_rounding(float(np.abs(residuals).max()), float(np.abs(units.x).max())):
        return EQUAL
    skewness = skewness_of(residuals - residuals.mean(), n) / n**0.5
    found = student_hall(units.mean, units.error, skewness, n, level=level)
    told = f"{found.method}, {len(units.sizes)} {units.name}s"
    return Interval(found.low, found.high, level, told)


def _bounded(units: _Units, bounds: Bounds, level: float) -> Interval | None:
    """Return an interval that rests on the bounds, if the values allow one."""
    low, high = bounds
    slack = 1e-9 * (high - low)
    if units.x.min() < low - slack or units.x.max() > high + slack:
        raise BadOption(
            f"values from {units.x.min():g} to {units.x.max():g} leave the bounds {bounds}",
            hint="give the bounds of the quantity, (0, 1) for a proportion",
        )
    distinct = set(np.unique(units.x).tolist())
    if distinct <= {low, high}:
        return _binomial(units, bounds, level)
    if distinct <= {low, 0.0, high} and low == -high:
        return _difference(units, float(high), level)
    if len(distinct) == 1:
        return all_alike(units.mean, units.effective, bounds, level=level)
    return None


def _binomial(units: _Units, ends: Bounds, level: float) -> Interval:
    """Return the exact interval of a mean of two values, groups counting as they must.

    Few groups count as one trial each. Many count as as many trials as their spread is worth,
    at most as many as there are units.

    Source: Korn & Graubard 1998, Survey Methodology 24, 193–201.
    """
    low, width = float(ends[0]), float(ends[1] - ends[0])
    share = (units.mean - low) / width
    n, told = units.effective, ""
    if not units.are_alone:
        told = f", each of {len(units.sizes)} groups as one trial"
        error = 0.0
        if len(units.sizes) >= _FEW_GROUPS and 0 < share < 1:
            error = units.error / width
            ratio = stdtrit(len(units.x) - 1, 0.975) / stdtrit(n - 1, 0.975)
            worth = share * (1 - share) / max(error, 1e-12) ** 2 * float(ratio) ** 2
            n, told = min(worth, float(len(units.x))), f", {len(units.sizes)} groups"
    found = clopper_pearson(share * n, n, level=level)
    return Interval(
        low + width * found.low, low + width * found.high, level, f"{found.method}{told}"
    )


def _difference(units: _Units, size: float, level: float) -> Interval | None:
    """Return the interval of a paired difference; many groups that do differ are a mean."""
    few_groups = units.are_alone or len(units.sizes) < _FEW_GROUPS
    if not few_groups and units.x.any():
        return None
    n = units.effective
    more, less = (float((units.x * sign > 0).mean()) * n for sign in (1, -1))
    found = paired_difference(more, less, n, level=level)
    told = "" if units.are_alone else f", each of {len(units.sizes)} groups as one trial"
    return Interval(size * found.low, size * found.high, level, f"{found.method}{told}")
