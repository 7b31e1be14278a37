"""Intervals, permutation tests and multiple-test correction, in one place.

Resampling is over independent units (texts, questions, models), never over tokens. Every
interval holds its estimate, and holds the truth at least 93 times in 100 from three units on for
normal, moderately skewed and 0/1 data; where it could not, there is none and the method says why.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from workbench.errors import BadOption, TooLittleData
from workbench.result.estimate import Estimate
from workbench.result.means import mean_interval
from workbench.result.pivots import Bounds, Interval, NoInterval
from workbench.result.proportions import clopper_pearson
from workbench.result.resampling import bootstrap_weights, left_out, resampled

__all__ = [
    "Interval",
    "NoInterval",
    "bootstrap",
    "bootstrap_weights",
    "correct",
    "grouped_interval",
    "grouped_mean_estimate",
    "grouped_proportion_estimate",
    "jackknife_interval",
    "left_out",
    "mean_estimate",
    "mean_interval",
    "percentile_interval",
    "permutation_p",
    "proportion_estimate",
    "proportion_interval",
    "resampled",
]

Floats = NDArray[np.float64]


def percentile_interval(
    values: Float[np.ndarray, " resample"], *, level: float = 0.95, method: str = "bootstrap"
) -> Interval | None:
    """Return the central interval of values drawn for many units, None when they are too few.

    Fewer than 2/(1 − level) values (40 for 95 %) do not reach its ends. It knows nothing of the
    number of units: below a hundred or so it is too narrow, and `resampled` is the one to use.
    """
    finite = values[np.isfinite(values)]
    if len(finite) < round(2 / (1 - level)):
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return Interval(float(low), float(high), level, f"percentile {method}, {len(values)} resamples")


def bootstrap(
    statistic: Callable[[Int[np.ndarray, " n"]], float],
    n: int,
    *,
    generator: np.random.Generator,
    resamples: int = 1000,
    level: float = 0.95,
) -> Interval | None:
    """Resample n units with replacement; `statistic` maps their indices to a number.

    None below three units, and where every resample gives the same value.
    """
    if n < 2:
        return None
    draws = generator.integers(0, n, size=(resamples, n))
    values = np.array([statistic(row) for row in draws], dtype=np.float64)
    value = float(statistic(np.arange(n)))
    return resampled(value, values, n, level=level) or None


def jackknife_interval(
    value: float,
    without: Float[np.ndarray, " group"],
    sizes: Sequence[float] | Float[np.ndarray, " group"] | None = None,
    *,
    level: float = 0.95,
) -> Interval | None:
    """Return the interval from values without one group each, None below three groups.

    For statistics that cannot be resampled with replacement (nearest neighbours) or cost too
    much to (spectra). The groups must be random sets of independent units.
    """
    return left_out(value, without, sizes, level=level) or None


def mean_estimate(
    name: str,
    values: Sequence[float] | Float[np.ndarray, " n"],
    *,
    unit: str,
    n_unit: str = "texts",
    bounds: Bounds | None = None,
) -> Estimate:
    """Return the mean of one value per unit with its interval.

    `bounds` are values that the quantity cannot leave; with them equal values have an interval
    too.

    Raises:
        TooLittleData: there are no values.
        BadOption: a value lies outside the bounds.
    """
    return grouped_mean_estimate(name, values, None, unit=unit, n_unit=n_unit, bounds=bounds)


def grouped_mean_estimate(
    name: str,
    values: Sequence[float] | Float[np.ndarray, " n"],
    groups: Sequence[str] | Sequence[int] | None,
    *,
    unit: str,
    n_unit: str = "questions",
    bounds: Bounds | None = None,
) -> Estimate:
    """Return the mean over units of which those of a group belong together.

    Raises:
        TooLittleData: there are no values.
        BadOption: a value lies outside the bounds.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise TooLittleData(f"no values for {name!r}")
    interval = mean_interval(x, groups, bounds=bounds)
    return Estimate(
        name=name,
        value=float(x.mean()),
        unit=unit,
        n=len(x),
        n_unit=n_unit,
        low=interval.low,
        high=interval.high,
        method=interval.method,
    )


def grouped_interval(
    values: Sequence[float] | Float[np.ndarray, " n"],
    groups: Sequence[str] | Sequence[int],
    *,
    bounds: Bounds | None = None,
) -> Interval | None:
    """Return the interval of a mean over units of which those of a group belong together."""
    return mean_interval(values, groups, bounds=bounds) or None


def grouped_proportion_estimate(
    name: str,
    right: Sequence[float] | Float[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    n_unit: str = "questions",
) -> Estimate:
    """Return a proportion whose interval knows that units of a group belong together.

    Raises:
        TooLittleData: there are no values.
    """
    return grouped_mean_estimate(
        name, right, groups, unit="proportion", n_unit=n_unit, bounds=(0.0, 1.0)
    )


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return the exact interval of a proportion; for display, not for stopping rules.

    Source: Clopper & Pearson 1934.

    Raises:
        TooLittleData: there is no trial.
    """
    return clopper_pearson(successes, n, level=level)


def proportion_estimate(
    name: str, successes: int, n: int, *, n_unit: str = "questions", unit: str = "proportion"
) -> Estimate:
    """Return a proportion with its exact interval."""
    interval = proportion_interval(successes, n)
    return Estimate(
        name=name,
        value=successes / n,
        unit=unit,
        n=n,
        n_unit=n_unit,
        low=interval.low,
        high=interval.high,
        method=interval.method,
    )


def permutation_p(observed: float, null: Float[np.ndarray, " draw"]) -> float:
    """Return the one-sided p-value that the null reaches the observed value, never zero.

    Source: Phipson & Smyth 2010, (b + 1)/(m + 1).
    """
    return float((np.sum(null >= observed) + 1) / (len(null) + 1))


def correct(p_values: Sequence[float], *, method: Literal["bh", "by", "holm"] = "bh") -> Floats:
    """Adjust p-values for many tests: `bh` (false discovery rate), `by` or `holm`.

    Source: Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001; Holm 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if method not in ("bh", "by", "holm"):
        raise BadOption(f"correction {method!r} is not known; expected bh, by or holm")
    if not (p == np.clip(p, 0, 1)).all():
        raise BadOption("p-values lie between 0 and 1, and some of these do not")
    order = np.argsort(p)
    if method != "holm":
        rank = np.arange(1, len(p) + 1)
        raised = p[order] * (len(p) / rank) * (1.0 if method == "bh" else (1 / rank).sum())
        least = np.minimum.accumulate(raised[::-1])[::-1]
        controlled = np.empty_like(p)
        controlled[order] = np.clip(least, 0, 1)
        return controlled
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
