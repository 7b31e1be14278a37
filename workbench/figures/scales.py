"""From numbers to colours: where a colour scale begins and ends."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

_PROPORTIONS = ("proportion", "probability", "accuracy")
_REACH = 6.0
_MOST_CUT = 0.1


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The ends of a colour scale; `cut_low` and `cut_high` say that values lie beyond them."""

    low: float
    high: float
    diverging: bool = False
    cut_low: bool = False
    cut_high: bool = False

    def step(self, value: float, steps: int) -> int:
        """Return which of `steps` equal colour steps a value falls into."""
        if self.high <= self.low:
            return steps // 2 if self.diverging else 0
        share = (value - self.low) / (self.high - self.low)
        return int(min(max(share, 0.0), 1.0) * (steps - 1) + 0.5)


def colour_limits(values: Float[np.ndarray, " n"], *, diverging: bool = False) -> Limits:
    """Return the ends of the scale for these values; NaN and infinity are left out.

    A few values far outside (beyond six interquartile ranges, at most a tenth of all) would take
    the whole scale for themselves: it stops at the last value inside, and says so.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Limits(low=0.0, high=1.0, diverging=diverging)
    low, high = float(finite.min()), float(finite.max())
    q1, q3 = np.quantile(finite, [0.25, 0.75])
    room = _REACH * (q3 - q1)
    inside = finite[(finite >= q1 - room) & (finite <= q3 + room)]
    if room > 0 and len(inside) >= (1 - _MOST_CUT) * len(finite):
        low, high = float(inside.min()), float(inside.max())
    if diverging:
        reach = max(abs(low), abs(high)) or 1.0
        low, high = -reach, reach
    return Limits(
        low=low,
        high=high,
        diverging=diverging,
        cut_low=bool(finite.min() < low),
        cut_high=bool(finite.max() > high),
    )


def proportion_axis(unit: str, values: Iterable[Any]) -> dict[str, Any]:
    """Return the ends of an axis of proportions, 0 and 1; nothing for any other quantity.

    What is called a proportion by its unit but lies outside (a difference of two) is no proportion.
    """
    is_one = unit in _PROPORTIONS or unit.startswith("share of")
    known = [v for v in values if v is not None and np.isfinite(v)] if is_one else []
    return {"range": [0, 1]} if known and min(known) >= 0 and max(known) <= 1 else {}
