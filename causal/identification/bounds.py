"""Bounds of an estimate from its resamples, given only where they mean something."""

import numpy as np
from jaxtyping import Float
from scipy import stats

LEVEL = 0.95
LEAST_RESAMPLES = 5
# With fewer draws, the 2.5 % point lies below the smallest of them.
LEAST_FOR_PERCENTILES = 39


def bounds(
    draws: Float[np.ndarray, "draw *shape"],
    estimate: Float[np.ndarray, "*shape"],
    *,
    floor: float = -np.inf,
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Return 95 % bounds of every estimate, NaN where there are none; they contain the estimate.

    From 39 finite draws on they are the 2.5 % and 97.5 % points, and there are none where these
    leave the estimate out: resampling then shifts the statistic, and its percentiles do not
    describe the estimate. From 5 draws on they are the estimate ± t · SD of the draws, t with one
    degree of freedom less than draws. `floor` is the least value that the statistic can take.

    Source: Efron & Tibshirani 1993, chapters 12 and 13.
    """
    filled = np.where(np.isfinite(draws), draws, np.nan)
    n = np.asarray(np.isfinite(draws).sum(axis=0))
    low, high = np.full(estimate.shape, np.nan), np.full(estimate.shape, np.nan)
    many = n >= LEAST_FOR_PERCENTILES
    if many.any():
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low[many], high[many] = np.nanquantile(filled[:, many], tails, axis=0)
    few = (n >= LEAST_RESAMPLES) & ~many
    if few.any():
        reach = stats.t.ppf((1 + LEVEL) / 2, n[few] - 1) * np.nanstd(filled[:, few], axis=0, ddof=1)
        low[few], high[few] = estimate[few] - reach, estimate[few] + reach
    low = np.maximum(low, floor)
    # Equal up to rounding is inside.
    slack = 1e-9 * np.abs(estimate)
    holds = (low - slack <= estimate) & (estimate <= high + slack)
    low, high = np.minimum(low, estimate), np.maximum(high, estimate)
    return np.where(holds, low, np.nan), np.where(holds, high, np.nan)


def interval(
    draws: Float[np.ndarray, " draw"], estimate: float, *, floor: float = -np.inf
) -> tuple[float | None, float | None]:
    """Return the bounds of one number, None where there are none."""
    low, high = bounds(draws, np.array(estimate), floor=floor)
    return (float(low), float(high)) if np.isfinite(low) else (None, None)


def how(draws: int) -> str:
    """Name the kind of interval that so many draws give."""
    if draws < LEAST_RESAMPLES:
        return f"no interval: {draws} resamples, fewer than {LEAST_RESAMPLES}"
    if draws < LEAST_FOR_PERCENTILES:
        return f"estimate ± t · SD of {draws} resamples"
    return f"percentile bootstrap, {draws} resamples"
