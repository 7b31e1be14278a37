"""Digits added and taken away one after the other, with every total written out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import BadOption
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.split import Part
from workbench.sampling.task import Problem
from workbench.sampling.tasks.marked_line import MarkedLine, different


@register("task", "chained-sums", source="Idea of Nye et al. 2021, arXiv:2112.00114")
@dataclass(frozen=True, kw_only=True)
class ChainedSums(MarkedLine):
    """Add and take away digits one after the other; the steps are the totals.

    With `terms`, each step repeats what is added: `+ 2 = 8`.

    No total leaves 0 to `largest`, however many terms there are, so that answers do not tell how
    long the chain was.
    """

    least: int = option(2, help="Fewest terms after the first.", low=1, high=50)
    most: int = option(4, help="Most terms after the first.", low=1, high=50)
    largest: int = option(20, help="Largest total.", low=9, high=99)
    terms: bool = option(False, help="Write the term before each total.")
    part: Part = option("all", help="Draw from the whole, or from the part for one purpose.")

    def __post_init__(self) -> None:
        """Refuse a range without a number."""
        if self.most < self.least:
            raise BadOption(f"least {self.least}, most {self.most}; expected least ≤ most")

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Draw `limit` different problems."""
        return different(lambda: self._draw(generator), limit, self.part)

    def _draw(self, generator: np.random.Generator) -> Problem:
        n = int(generator.integers(self.least, self.most + 1))
        total = int(generator.integers(0, 10))
        said, steps = [str(total)], []
        for _ in range(n):
            fits = [d for d in range(-9, 10) if d and 0 <= total + d <= self.largest]
            digit = int(generator.choice(fits))
            total += digit
            said.append(f"{'-' if digit < 0 else '+'} {abs(digit)}")
            steps.append(f"{said[-1]} = {total}" if self.terms else f"= {total}")
        question = f"Sum {', '.join(said)}:"
        return Problem(id=question, question=question, answer=str(total), steps=tuple(steps))
