"""Commonsense questions with five choices and written steps, read from a file."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import DataError
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.choice_grading import ChoiceGrader
from workbench.sampling.task import Problem
from workbench.sampling.tasks.steps_file import step_problems
from workbench.sampling.tasks.verified import Verified

_ASK = 'Think step by step, then finish with "The answer is" and the letter.'


@register("task", "csqa", source="Talmor et al. 2019, arXiv:1811.00937")
@dataclass(frozen=True, kw_only=True)
class CSQA(Verified):
    """Choose one of five answers to a commonsense question; `csqa:FILE` names the file."""

    path: str = option("", help="JSON file with question, steps and answer; choices follow tabs.")

    is_chat = True
    verifier = ChoiceGrader()

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Read the first `limit` questions.

        Raises:
            DataError: no file was named, or it holds no question.
        """
        if not self.path:
            raise DataError("task csqa needs a file", hint="--task csqa:FILE.json")
        return step_problems(self.path, limit)

    def prompt(self, problem: Problem) -> str:
        """Return the question with its choices line by line."""
        lines = "\n".join(part.strip() for part in problem.question.split("\t"))
        return f"{lines}\n{_ASK}"

    def choices(self, problem: Problem) -> Sequence[str]:
        """Return the letters to choose from."""
        return tuple(part.strip()[0] for part in problem.question.split("\t")[1:] if part.strip())
