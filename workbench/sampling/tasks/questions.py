"""Question files: GSM8K and any JSONL with a question and an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from workbench.errors import DataError
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.conventions import Found
from workbench.sampling.grading import ChoiceGrader, Grader, MathGrader, NumberGrader
from workbench.sampling.rows import json_rows
from workbench.sampling.task import Problem

_GRADERS: dict[str, Grader] = {
    "number": NumberGrader(),
    "math": MathGrader(),
    "choice": ChoiceGrader(),
}


@register("task", "questions")
@dataclass(frozen=True, kw_only=True)
class Questions:
    """Questions and reference answers from a JSONL file, graded by the chosen verifier."""

    path: str = option("", help="JSONL file with one question a line.")
    question: str = option("question", help="Field that holds the question.")
    answer: str = option("answer", help="Field that holds the reference answer.")
    grader: Literal["number", "math", "choice"] = option("number", help="How answers compare.")
    instruction: str = option(
        'Think step by step, then finish with "The answer is" and the number.',
        help="Added behind every question.",
    )

    @property
    def is_chat(self) -> bool:
        """Questions are asked as messages."""
        return True

    @property
    def file(self) -> str:
        """The file that is read."""
        return self.path

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Read the first `limit` questions.

        Raises:
            DataError: the file holds no usable question, or the grader cannot compare with a
                reference answer.
        """
        if not self.file:
            raise DataError("task questions needs a file", hint="--task questions:FILE.jsonl")
        name = Path(self.file).stem
        found = list(islice(self._read(name), limit))
        if not found:
            raise DataError(
                f"{self.file} holds no row with {self.question!r} and {self.answer!r}",
                hint="name the fields in the task's options",
            )
        strange = [p for p in found if not _GRADERS[self.grader].accepts(p.answer)]
        if strange:
            shown = ", ".join(f"{p.id} {p.answer[-40:]!r}" for p in strange[:3])
            raise DataError(
                f"{len(strange)} of {len(found)} reference answers are nothing that grader="
                f"{self.grader} can compare with: {shown}",
                hint="grader=math for expressions, grader=choice for letters; or mend the rows",
            )
        return found

    def prompt(self, problem: Problem) -> str:
        """Return the question and the instruction."""
        return f"{problem.question.strip()} {self.instruction}".strip()

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the final answers agree."""
        return _GRADERS[self.grader].is_correct(response, problem.answer)

    def extract(self, response: str) -> str | None:
        """Return the final answer as written."""
        return _GRADERS[self.grader].extract(response)

    def find(self, response: str) -> Found:
        """Return the final answer with the convention it was read by."""
        return _GRADERS[self.grader].find(response)

    def _read(self, name: str) -> "Sequence[Problem]":
        return [
            Problem(
                id=f"{name}:{line}",
                question=str(row[self.question]),
                answer=str(row[self.answer]),
                fields=dict(row),
            )
            for line, row in json_rows(Path(self.file))
            if self.question in row and self.answer in row
        ]


@register("task", "gsm8k", source="Cobbe et al. 2021, arXiv:2110.14168")
@dataclass(frozen=True, kw_only=True)
class GSM8K(Questions):
    """Grade-school word problems; without a file, the few that ship with the package."""

    path: str = option("", help="File in the GSM8K format; the shipped sample where none is named.")

    @property
    def file(self) -> str:
        """The file that is read."""
        return self.path or str(files("workbench.data") / "gsm8k_sample.jsonl")
