"""Intervals, permutation tests and multiple-test correction, in one place.

Resampling is over independent units (texts, questions, models), never over tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy import stats

from workbench.errors import BadOption, TooLittleData
from workbench.result.estimate import Estimate

Floats = NDArray[np.float64]
_FEW_GROUPS, _FEWEST_GROUPS = 20, 3


@dataclass(frozen=True)
class Interval:
    """The bounds of an interval at `level`, and how it was made."""

    low: float
    high: float
    level: float = 0.95
    method: str = ""


def bootstrap_weights(
    n: int, *, resamples: int, generator: np.random.Generator
) -> Int[np.ndarray, "resample n"]:
    """Draw how often each of n units appears in each resample.

    Statistics built from sums over units turn these into bootstrap values by one product.
    """
    if n < 1:
        raise TooLittleData("nothing to resample: n is 0")
    return generator.multinomial(n, np.full(n, 1 / n), size=resamples)


def percentile_interval(
    values: Float[np.ndarray, " resample"], *, level: float = 0.95, method: str = "bootstrap"
) -> Interval | None:
    """Return the central interval of bootstrap values, None when fewer than two are finite."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
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
    """Resample n units with replacement; `statistic` maps their indices to a number."""
    if n < 2:
        return None
    draws = generator.integers(0, n, size=(resamples, n))
    values = np.array([statistic(row) for row in draws], dtype=np.float64)
    return percentile_interval(values, level=level)


def jackknife_interval(
    value: float, left_out: Float[np.ndarray, " group"], *, level: float = 0.95
) -> Interval | None:
    """Return value ± t·se from the values without one group each, None below three groups.

    For statistics that cannot be resampled with replacement (nearest neighbours) or cost too
    much to (spectra). The groups must be random sets of independent units.

    Source: Quenouille 1956, Tukey 1958; t with one degree of freedom less than groups.
    """
    groups = len(left_out)
    if groups < 3 or not np.isfinite(left_out).all():
        return None
    spread = float(((left_out - left_out.mean()) ** 2).sum())
    error = ((groups - 1) / groups * spread) ** 0.5
    reach = float(stats.t.ppf((1 + level) / 2, groups - 1)) * error
    method = f"delete-a-group jackknife, {groups} groups"
    return Interval(value - reach, value + reach, level, method)


def mean_estimate(
    name: str,
    values: Sequence[float] | Float[np.ndarray, " n"],
    *,
    unit: str,
    generator: np.random.Generator,
    n_unit: str = "texts",
    resamples: int = 1000,
) -> Estimate:
    """Return the mean of one value per unit with a bootstrap interval.

    Raises:
        TooLittleData: there are no values.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise TooLittleData(f"no values for {name!r}")
    interval = bootstrap(
        lambda rows: float(x[rows].mean()), len(x), generator=generator, resamples=resamples
    )
    return Estimate(
        name=name,
        value=float(x.mean()),
        unit=unit,
        n=len(x),
        n_unit=n_unit,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=interval.method if interval else "no interval: one unit",
    )


def grouped_mean_estimate(  # noqa: PLR0913 - values, their groups and how they are told
    name: str,
    values: Sequence[float] | Float[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    unit: str,
    generator: np.random.Generator,
    n_unit: str = "questions",
    resamples: int = 1000,
) -> Estimate:
    """Return the mean over units with an interval from resampling whole groups of them.

    Raises:
        TooLittleData: there are no values.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise TooLittleData(f"no values for {name!r}")
    interval = grouped_interval(x, groups, generator=generator, resamples=resamples)
    n_groups = len(set(groups))
    return Estimate(
        name=name,
        value=float(x.mean()),
        unit=unit,
        n=len(x),
        n_unit=n_unit,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=f"{interval.method}, of {n_groups} groups"
        if interval
        else f"no interval: {n_groups} group{'s' * (n_groups > 1)}",
    )


def grouped_interval(
    values: Sequence[float] | Float[np.ndarray, " n"],
    groups: Sequence[str] | Sequence[int],
    *,
    generator: np.random.Generator,
    resamples: int = 1000,
) -> Interval | None:
    """Return the interval of a mean over units of which those of a group belong together.

    Whole groups are resampled. Fewer than twenty resample too narrowly: they have Student's
    interval of a ratio of group sums, and fewer than three have none.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sums, sizes = np.bincount(group, weights=np.asarray(values)), np.bincount(group)
    n = len(sizes)
    if n >= _FEW_GROUPS:
        return bootstrap(
            lambda rows: float(sums[rows].sum() / sizes[rows].sum()),
            n,
            generator=generator,
            resamples=resamples,
        )
    if n < _FEWEST_GROUPS:
        return None
    mean = float(sums.sum() / sizes.sum())
    spread = float(((sums - mean * sizes) ** 2).sum()) * n / (n - 1)
    reach = float(stats.t.ppf(0.975, n - 1)) * spread**0.5 / float(sizes.sum())
    return Interval(mean - reach, mean + reach, method="Student")


def grouped_proportion_estimate(
    name: str,
    right: Sequence[float] | Float[np.ndarray, " n"],
    groups: Sequence[str],
    *,
    generator: np.random.Generator,
    n_unit: str = "questions",
    resamples: int = 1000,
) -> Estimate:
    """Return a proportion whose interval knows that units of a group belong together.

    Whole groups are resampled; where they are few, or all units alike, resampling would give an
    interval that is too narrow or empty, and Wilson's with each group as one trial is given.

    Raises:
        TooLittleData: there are no values.
    """
    found = grouped_mean_estimate(
        name, right, groups,
        unit="proportion", generator=generator, n_unit=n_unit, resamples=resamples,
    )  # fmt: skip
    n_groups = len(set(groups))
    if n_groups >= _FEW_GROUPS and 0 < (found.value or 0) < 1:
        return found
    interval = _wilson(found.value or 0.0, n_groups)
    return replace(
        found,
        low=interval.low,
        high=interval.high,
        method=f"{interval.method}, each of {n_groups} groups as one trial",
    )


def _wilson(share: float, n: int, *, level: float = 0.95) -> Interval:
    z = float(stats.norm.ppf((1 + level) / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return Interval(max(middle - reach, 0.0), min(middle + reach, 1.0), level, "Wilson")


def proportion_interval(successes: int, n: int, *, level: float = 0.95) -> Interval:
    """Return the Wilson score interval of a proportion.

    Source: Wilson 1927; for display, not for stopping rules.
    """
    if n < 1:
        raise TooLittleData("a proportion needs at least one trial")
    test = stats.binomtest(successes, n)
    ci = test.proportion_ci(confidence_level=level, method="wilson")
    return Interval(float(ci.low), float(ci.high), level, "Wilson")


def proportion_estimate(
    name: str, successes: int, n: int, *, n_unit: str = "questions", unit: str = "proportion"
) -> Estimate:
    """Return a proportion with its Wilson interval."""
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
    if method == "bh" or method == "by":
        return np.asarray(stats.false_discovery_control(p, method=method))
    if method != "holm":
        raise BadOption(f"correction {method!r} is not known; expected bh, by or holm")
    order = np.argsort(p)
    factors = len(p) - np.arange(len(p))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted
