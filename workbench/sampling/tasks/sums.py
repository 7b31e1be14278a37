"""Sums of a few small numbers, with the partial sums written out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import BadOption
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.conventions import MARKED_ONCE, Found
from workbench.sampling.marked import MARK, is_marked_right, marked_answer
from workbench.sampling.split import Part
from workbench.sampling.task import Problem
from workbench.sampling.tasks.marked_line import different


@register("task", "sums")
@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums of small numbers, worked out by partial sums; the answer stands after ####.

    The model continues `12+35+7=`; it can only know the form of the answer from training.
    """

    terms: int = option(3, help="Numbers that are added.", low=2, high=6)
    largest: int = option(99, help="Largest number.", low=1, high=9999)
    smallest: int = option(1, help="Smallest number.", low=1, high=9999)
    part: Part = option("all", help="Draw from the whole, or from the part for one purpose.")

    is_chat = False
    answer_lead = MARK

    def __post_init__(self) -> None:
        """Refuse an empty range of numbers."""
        if self.smallest > self.largest:
            raise BadOption(f"smallest is {self.smallest}, above largest, {self.largest}")

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Draw `limit` different problems.

        Raises:
            TooLittleData: there are not so many.
        """

        def draw() -> Problem:
            drawn = generator.integers(self.smallest, self.largest + 1, size=self.terms)
            return _problem([int(x) for x in drawn])

        return different(draw, limit, self.part, "sums")

    def prompt(self, problem: Problem) -> str:
        """Return the sum with the sign that asks for its value."""
        return problem.question

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the one marked number is right and nothing follows it."""
        return is_marked_right(response, problem.answer)

    def extract(self, response: str) -> str | None:
        """Return what stands after the mark."""
        return marked_answer(response)

    def find(self, response: str) -> Found:
        """Return what stands after the mark, with the convention."""
        return Found(answer=marked_answer(response), convention=MARKED_ONCE, grader="number")


def _problem(numbers: Sequence[int]) -> Problem:
    total, steps = numbers[0], []
    for number in numbers[1:]:
        steps.append(f"{total}+{number}={total + number}")
        total += number
    question = "+".join(map(str, numbers)) + "="
    return Problem(id=question, question=question, answer=str(total), steps=tuple(steps))
