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
    training has seen, of words that it has. With one word, pairs kept apart are links instead:
    no training has seen one of those names lead to the other.
    """

    least: int = option(2, help="Fewest hops.", low=1, high=10)
    most: int = option(3, help="Most hops.", low=1, high=10)
    ways: int = option(2, help="Ways that leave the place asked from.", low=1, high=3)
    names: Literal["seen", "unseen"] = option("seen", help="Names, or links of one-word names.")
    words: int = option(2, help="Words of a name.", low=1, high=2)
    animals: int = option(34, help="Different animals in the names of places.", low=5, high=34)
    chain: Literal["path", "search"] = option(
        "path", help="Steps tell the way, or the ways tried until one ends where asked."
    )
    part: Part = option("all", help="Draw from the whole, or from the part for one purpose.")

    def __post_init__(self) -> None:
        """Refuse a range without a number, and more places than there are names."""
        if self.most < self.least or self.most * (self.ways + 1) + 2 > self.animals:
            raise BadOption(
                f"least {self.least}, most {self.most}, ways {self.ways}; expected least ≤ most "
                f"and at most {self.animals} places, most · (ways + 1) + 2",
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
        roots = [0] * self.ways + [1]
        named = self._links if self.words == 1 else self._names
        ways = named(roots, hops, generator)
        start = ways[0][0]
        edges = [f"{a} {b}" for way in ways for a, b in pairwise(way)]
        order = [int(i) for i in generator.permutation(len(edges))]
        told = ", ".join(edges[i] for i in order)
        right, wrong = ways[0], ways[-1]
        first, second = ((right[-1], wrong[-1])[i] for i in generator.permutation(2))
        question = f"Ways: {told}. From {start}: {first} or {second}?"
        tried = [right]
        if self.chain == "search":
            # Ways are tried in the order in which their first hops are told.
            tried = sorted(ways[: self.ways], key=lambda way: order.index(ways.index(way) * hops))
            tried = tried[: tried.index(right) + 1]
        steps = tuple(f"- {a} {b}" for way in tried for a, b in pairwise(way))
        return Problem(id=question, question=question, answer=right[-1], steps=steps)

    def _names(
        self, roots: Sequence[int], hops: int, generator: np.random.Generator
    ) -> list[list[str]]:
        """Return ways of two-word names of which no two share their animal."""
        animals = generator.choice(self.animals, hops * len(roots) + 2, replace=False)
        kept = [(int(a), _colours(int(a), self.names)) for a in animals]
        names = [f"{_COLOURS[int(generator.choice(colours))]} {_ANIMALS[a]}" for a, colours in kept]
        first = [names.pop(), names.pop()]
        return [[first[root], *(names.pop() for _ in range(hops))] for root in roots]

    def _links(
        self, roots: Sequence[int], hops: int, generator: np.random.Generator
    ) -> list[list[str]]:
        """Return ways of one-word names, every link seen or every link kept apart."""
        while True:
            order = [int(a) for a in generator.permutation(self.animals)]
            first, ways = [order.pop(), order.pop()], list[list[int]]()
            for root in roots:
                way = [first[root]]
                for _ in range(hops):
                    fits = [a for a in order if self._is_kept(way[-1], a)]
                    if fits:
                        way.append(fits[0])
                        order.remove(fits[0])
                ways.append(way)
            if all(len(way) == hops + 1 for way in ways):
                return [[_ANIMALS[a] for a in way] for way in ways]

    def _is_kept(self, a: int, b: int) -> bool:
        return ((a + b) % _KEPT == 0) == (self.names == "unseen")


def _colours(animal: int, names: str) -> list[int]:
    unseen = [c for c in range(len(_COLOURS)) if (animal + c) % _KEPT == 0]
    return unseen if names == "unseen" else sorted(set(range(len(_COLOURS))) - set(unseen))
