"""What resamples of a search gave: links counted, and what the time limit stopped."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from causal.searches.conventions import Link


@dataclass(kw_only=True)
class Resamples:
    """Links counted over resamples.

    `lost` could not be fitted, `hurried` had fewer orders of the columns than asked, and
    `untried` were left once a resample had run into the time limit.
    """

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    done: int = 0
    lost: int = 0
    hurried: int = 0
    untried: int = 0

    def shares(self) -> dict[tuple[str, str, str], float]:
        """Return how often each link came back, as a share of the resamples that were fitted."""
        return {key: count / self.done for key, count in self.counts.items()} if self.done else {}

    def add(self, found: Mapping[str, Any]) -> None:
        """Count the links of one fitted resample."""
        self.counts.update({Link(*link)[:3] for link in found["links"]})
        self.hurried += found["facts"]["not_tried"] > 0
        self.done += 1

    def stopped(self, seconds: float) -> tuple[str, ...]:
        """Return what a time limit of that many seconds kept from being tried."""
        limit, told = f"the time limit of {seconds:g} s", []
        if self.hurried:
            told.append(f"{limit} left orders of the columns untried in {self.hurried} resamples")
        if self.untried:
            told.append(f"one resample ran into {limit}; {self.untried} more were not tried")
        return tuple(told)


def fewer_orders(facts: Mapping[str, Any], seconds: float) -> tuple[str, ...]:
    """Return how many orders of the columns a time limit of that many seconds left out of a fit."""
    tried, left = facts["orders"], facts["not_tried"]
    if not left:
        return ()
    return (
        f"the time limit of {seconds:g} s left {left} of {tried + left} orders of the columns "
        "untried; with more --seconds or fewer --orders the graph does not depend on the clock",
    )
