"""How much a written state says: words in common, swapped states, means over texts."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from probes.boundary.grid import OTHER, STATE, Cell
from workbench.methods.contracts import Context
from workbench.result.intervals import grouped_interval

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a column of the grid stands for: a sentence of a text, or a step of a chain.

    `after` is what comes next; `unit` is the text or problem that intervals resample.
    """

    name: str
    sentence: str
    after: str
    unit: int


def overlap(one: str, other: str) -> float:
    """Return the F1 of the words two sentences have in common, numbers and marks included."""
    a, b = (Counter(_WORD.findall(text.lower())) for text in (one, other))
    if not a or not b:
        return float(not a and not b)
    return 2 * sum((a & b).values()) / (sum(a.values()) + sum(b.values()))


@dataclass(frozen=True, eq=False)
class Slice:
    """The cells of one way and layer."""

    cells: Sequence[Cell]
    goals: Sequence[Goal]
    way: str
    layer: int

    def of(self, kind: str) -> list[Cell]:
        """Return the cells of one kind, in the order of their goals."""
        mine = [c for c in self.cells if (c.way, c.layer, c.kind) == (self.way, self.layer, kind)]
        return sorted(mine, key=lambda c: c.goal)

    def overlaps(self, kind: str) -> list[float]:
        """Return the words in common with the goal of each cell."""
        return [overlap(c.written.text, self.goals[c.goal].sentence) for c in self.of(kind)]

    def exact(self, kind: str) -> list[float]:
        """Return 1 for each cell that says the very words of its goal, else 0."""
        pairs = [(c.written.text, self.goals[c.goal].sentence) for c in self.of(kind)]
        return [float(written.split() == sentence.split()) for written, sentence in pairs]

    def next_overlaps(self) -> list[float]:
        """Return the words in common with the sentence after, where there is one."""
        pairs = [(c.written.text, self.goals[c.goal].after) for c in self.of(STATE)]
        return [overlap(text, after) for text, after in pairs if after]

    def shared(self) -> list[float]:
        """Return how much more of its sentence a state says than the state put in its place."""
        own = dict(zip((c.goal for c in self.of(STATE)), self.overlaps(STATE), strict=True))
        return [
            own[c.goal] - other
            for c, other in zip(self.of(OTHER), self.overlaps(OTHER), strict=True)
        ]

    def units(self, kind: str) -> list[int]:
        """Return the text of each cell."""
        return [self.goals[c.goal].unit for c in self.of(kind)]


def mean_cells(
    name: str, values: Sequence[float], units: Sequence[int], context: Context
) -> dict[str, float | None]:
    """Return a mean with bounds from resampling texts."""
    if not values:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    found = grouped_interval(
        values,
        units,
        generator=context.stream("sentence lens bootstrap"),
        resamples=context.resamples,
    )
    low, high = (found.low, found.high) if found else (None, None)
    return {name: average(values), f"{name}_low": low, f"{name}_high": high}


def average(values: Sequence[float]) -> float | None:
    """Return the mean, None of nothing."""
    return sum(values) / len(values) if values else None
