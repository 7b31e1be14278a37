"""Intervals of statistics from their values on other draws of the units."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from workbench.errors import TooLittleData
from workbench.result.pivots import (
    EQUAL,
    FEWEST,
    Bounds,
    Interval,
    NoInterval,
    few,
    is_rounding,
    skewness_of,
    student_hall,
)
from workbench.result.proportions import all_alike


def bootstrap_weights(
    n: int, *, resamples: int, generator: np.random.Generator
) -> Int[np.ndarray, "resample n"]:
    """Draw how often each of n units appears in each resample.

    Statistics built from sums over units turn these into bootstrap values by one product.

    Raises:
        TooLittleData: there is no unit.
    """
    if n < 1:
        raise TooLittleData("nothing to resample: n is 0")
    return generator.multinomial(n, np.full(n, 1 / n), size=resamples)


def resampled(
    value: float,
    draws: Float[np.ndarray, " resample"],
    n: float | int,
    *,
    bounds: Bounds | None = None,
    level: float = 0.95,
) -> Interval | NoInterval:
    """Return the interval of a statistic of n units from its bootstrap values.

    The standard error and the skewness are those of the resamples, brought from a divisor n to
    n − 1, and the interval is that of Student and Hall. Percentiles of the resamples are not
    used: of five units they hold the truth four times in five. `bounds` are values that the
    statistic cannot leave; with them equal values have an interval too.

    Source: Efron & Tibshirani 1993, chapter 12; Hall 1992.
    """
    finite = np.asarray(draws, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    n = min(n, len(finite))
    if n < FEWEST:
        return few(n)
    apart = finite - finite.mean()
    largest = float(np.abs(apart).max())
    if is_rounding(largest, float(np.abs(finite).max())):
        return _equal(value, n, bounds, level)
    spread = float(((apart / largest) ** 2).mean()) ** 0.5 * largest
    error = spread * (n / (n - 1)) ** 0.5
    unbiased = (n * (n - 1)) ** 0.5 / (n - 2)
    skewness = skewness_of(apart, len(finite)) * unbiased
    found = student_hall(value, error, skewness, n, level=level)
    told = f"{found.method}, {len(draws)} bootstrap resamples"
    return _bounded(Interval(found.low, found.high, level, told), value, bounds)


def left_out(
    value: float,
    without: Float[np.ndarray, " group"],
    sizes: Sequence[float] | Float[np.ndarray, " group"] | None = None,
    *,
    bounds: Bounds | None = None,
    level: float = 0.95,
) -> Interval | NoInterval:
    """Return the interval of a statistic from its values without one group of units each.

    The interval lies about the value less the jackknife's estimate of its bias, and is extended
    to the value where it stops short of it. Groups must be random sets of independent units;
    `sizes` count what they hold (equal where not given), `bounds` are as in `resampled`.

    Source: Quenouille 1956, Tukey 1958; the bias with groups of unequal size of Busing, Meijer &
    van der Leeden 1999, Statistics and Computing 9, 3–8.
    """
    without = np.asarray(without, dtype=np.float64)
    m = np.ones(len(without)) if sizes is None else np.asarray(sizes, dtype=np.float64)
    if len(without) < FEWEST:
        return few(len(without), "group")
    if not np.isfinite(without).all():
        return NoInterval("the quantity is undefined without one of the groups")
    h = m.sum() / m
    effective = float(m.sum() ** 2 / (m**2).sum())
    if effective < FEWEST - 1e-9:
        return few(effective, "effective group")
    scale = float(max(abs(value), np.abs(without).max()))
    if is_rounding(float(np.abs(without - value).max()), scale):
        return _equal(value, effective, bounds, level)
    g = len(without)
    centre = value + float(((1 - 1 / h) * (value - without)).sum())
    apart = (g - 1) * (without.mean() - without)
    largest = float(np.abs(apart).max())
    if is_rounding(largest, scale):
        return _equal(value, effective, bounds, level)
    error = float(((apart / largest) ** 2).sum() / (g * (g - 1))) ** 0.5 * largest
    skewness = skewness_of(apart, effective) / effective**0.5
    found = student_hall(centre, error, skewness, effective, level=level)
    told = f"delete-a-group jackknife, {len(without)} groups, {found.method}"
    return _bounded(Interval(found.low, found.high, level, told), value, bounds)


def _bounded(found: Interval, value: float, bounds: Bounds | None) -> Interval:
    return (found.within(*bounds) if bounds else found).holding(value)


def _equal(
    value: float, n: float | int, bounds: Bounds | None, level: float
) -> Interval | NoInterval:
    return all_alike(value, n, bounds, level=level) if bounds else EQUAL
