"""Which of two places can be reached: ways that part and do not meet again."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from workbench.errors import BadOption
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.split import Part
from workbench.sampling.task import Problem
from workbench.sampling.tasks.marked_line import MarkedLine, different

_COLOURS = ("red", "blue", "green", "black", "white", "pink", "grey", "brown")
_ANIMALS = (
    *("ant", "bat", "bear", "bee", "cat", "cow", "crab", "crow", "deer", "dog", "duck", "elk"),
    *("fox", "frog", "goat", "hare", "hawk", "hen", "horse", "lion", "mole", "moth", "mouse"),
    *("owl", "ox", "pig", "rat", "seal", "sheep", "swan", "toad", "wasp", "whale", "wolf"),
)
# One name in four is kept for problems of unseen names.
_KEPT = 4


@register("task", "graph-search", source="Idea of ProsQA, Hao et al. 2024, arXiv:2412.06769")
@dataclass(frozen=True, kw_only=True)
class GraphSearch(MarkedLine):
    """Find which of two places can be reached, where several ways leave the first.

    `ways` ways of as many hops leave the place asked from, one leaves another place; the two
    places asked about end a way of each. `red fox blue owl` leads from red fox to blue owl.
    Guessing is right half of the time. Places have two words; pairs kept apart make names that no
    training has seen, of words that it has.
    """

    least: int = option(2, help="Fewest hops.", low=1, high=10)
    most: int = option(3, help="Most hops.", low=1, high=10)
    ways: int = option(2, help="Ways that leave the place asked from.", low=1, high=3)
    names: Literal["seen", "unseen"] = option("seen", help="Names of places.")
    part: Part = option("all", help="Draw from the whole, or from the part for one purpose.")

    def __post_init__(self) -> None:
        """Refuse a range without a number, and more places than there are names."""
        if self.most < self.least or self.most * (self.ways + 1) + 2 > len(_ANIMALS):
            raise BadOption(
                f"least {self.least}, most {self.most}, ways {self.ways}; expected least ≤ most "
                f"and at most {len(_ANIMALS)} places, most · (ways + 1) + 2",
                hint="fewer hops or ways",
            )

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Draw `limit` different problems."""
        return different(lambda: self._draw(generator), limit, self.part)

    def choices(self, problem: Problem) -> Sequence[str]:
        """Return the two places asked about."""
        asked = problem.question.rsplit(": ", 1)[-1].rstrip("?")
        return tuple(asked.split(" or "))

    def _draw(self, generator: np.random.Generator) -> Problem:
        hops = int(generator.integers(self.least, self.most + 1))
        names = self._names(hops * (self.ways + 1) + 2, generator)
        start, other = names.pop(), names.pop()
        roots = [*([start] * self.ways), other]
        ways = [[root, *(names.pop() for _ in range(hops))] for root in roots]
        edges = [f"{a} {b}" for way in ways for a, b in pairwise(way)]
        told = ", ".join(edges[i] for i in generator.permutation(len(edges)))
        right, wrong = ways[0], ways[-1]
        first, second = ((right[-1], wrong[-1])[i] for i in generator.permutation(2))
        question = f"Ways: {told}. From {start}: {first} or {second}?"
        steps = tuple(f"- {a} {b}" for a, b in pairwise(right))
        return Problem(id=question, question=question, answer=right[-1], steps=steps)

    def _names(self, n: int, generator: np.random.Generator) -> list[str]:
        """Return names of which no two share their animal."""
        animals = generator.choice(len(_ANIMALS), n, replace=False)
        kept = [(int(a), _colours(int(a), self.names)) for a in animals]
        return [f"{_COLOURS[int(generator.choice(colours))]} {_ANIMALS[a]}" for a, colours in kept]


def _colours(animal: int, names: str) -> list[int]:
    unseen = [c for c in range(len(_COLOURS)) if (animal + c) % _KEPT == 0]
    return unseen if names == "unseen" else sorted(set(range(len(_COLOURS))) - set(unseen))
