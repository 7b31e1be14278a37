"""Exact intervals of proportions, of their differences, and of units that are all alike."""

import math

from scipy.special import betaincinv

from workbench.errors import TooLittleData
from workbench.result.pivots import Bounds, Interval


def clopper_pearson(successes: float | int, n: float | int, *, level: float = 0.95) -> Interval:
    """Return the exact interval of a proportion; an effective n need not be whole.

    Source: Clopper & Pearson 1934, by quantiles of beta distributions.

    Raises:
        TooLittleData: there is no trial.
    """
    if n <= 0:
        raise TooLittleData("a proportion needs at least one trial")
    tail = (1 - level) / 2
    k = min(max(successes, 0.0), n)
    low = float(betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0
    high = float(betaincinv(k + 1, n - k, 1 - tail)) if k < n else 1.0
    return Interval(low, high, level, "Clopper–Pearson").holding(k / n)


def paired_difference(
    more: float | int, less: float | int, n: float | int, *, level: float = 0.95
) -> Interval:
    """Return the interval of a mean of −1, 0 and 1: `more` ones and `less` minus ones of n.

    The exact limits of the two shares are put together with the correlation that two shares of
    the same units have. Where no unit differs it still leaves room for one that might.

    Source: Zou & Donner 2008, Statistics in Medicine 27, 1693–1702 (MOVER).
    """
    up, down = more / n, less / n
    one, other = clopper_pearson(more, n, level=level), clopper_pearson(less, n, level=level)
    rest = (1 - up) * (1 - down)
    r = -1.0 if rest <= up * down else -math.sqrt(up * down / rest)
    below = _together(up - one.low, other.high - down, r)
    above = _together(one.high - up, down - other.low, r)
    found = Interval(up - down - below, up - down + above, level, "MOVER of Clopper–Pearson")
    return found.within(-1.0, 1.0)


def _together(a: float, b: float, r: float) -> float:
    return math.sqrt(max(a * a + b * b - 2 * r * a * b, 0.0))


def all_alike(value: float, n: float | int, bounds: Bounds, *, level: float = 0.95) -> Interval:
    """Return what n equal values leave open for the mean of a quantity with known bounds.

    A share up to 1 − (α/2)^(1/n) of other values could have stayed unseen, all at a bound; for
    α/2 = .025 and large n it is about 3.7/n.

    Source: Clopper & Pearson 1934 for 0 of n; Hanley & Lippman-Hand 1983, the rule of three.
    """
    seen = ((1 - level) / 2) ** (1 / n)
    low, high = (value * seen + bound * (1 - seen) for bound in bounds)
    return Interval(low, high, level, f"bound from {n:.3g} equal values").holding(value)
