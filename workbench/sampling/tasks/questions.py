"""Question files: GSM8K and any JSONL with a question and an answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workbench.errors import DataError
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.choice_words import WordGrader
from workbench.sampling.grading import ChoiceGrader, Grader, MathGrader, NumberGrader
from workbench.sampling.rows import rows_or_faults
from workbench.sampling.task import Problem
from workbench.sampling.tasks.verified import Verified

_GRADERS: dict[str, Grader] = {
    "number": NumberGrader(),
    "math": MathGrader(),
    "choice": ChoiceGrader(),
}

# More different answers than these are not listed behind a question.
_LISTED = 12
_INSTRUCTION = 'Think step by step, then finish with "The answer is" and the number.'
_NO_ANSWER = "nothing that the grader can compare with"


@register("task", "questions")
@dataclass(frozen=True, kw_only=True)
class Questions(Verified):
    """Questions and reference answers from a JSONL or CSV file, graded by the chosen verifier.

    With `grader=words` the different answers of the file are the choices, such as yes and no; rows
    with choices of their own are read by `harness:FILE`.
    """

    path: str = option("", help="JSONL or CSV file with one question a line.")
    question: str = option("question", help="Field that holds the question.")
    answer: str = option("answer", help="Field that holds the reference answer.")
    grader: Literal["number", "math", "choice", "words"] = option(
        "number", help="How answers compare."
    )
    instruction: str = option(_INSTRUCTION, help="Added behind every question.")

    is_chat = True

    @property
    def verifier(self) -> Grader:
        """The grader that was chosen."""
        return self._words if self.grader == "words" else _GRADERS[self.grader]

    @cached_property
    def _words(self) -> WordGrader:
        rows = (row for _, row in rows_or_faults(Path(self.file)) if isinstance(row, Mapping))
        given = (row.get(self.answer) for row in rows)
        told = (
            str(answer).strip()
            for answer in given
            if isinstance(answer, str | int | float) and not isinstance(answer, bool)
        )
        return WordGrader(words=tuple(dict.fromkeys(filter(None, told))))

    @property
    def file(self) -> str:
        """The file that is read."""
        return self.path

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Read the first `limit` questions.

        Raises:
            DataError: the file holds no usable question.
        """
        if not self.file:
            raise DataError("task questions needs a file", hint="--task questions:FILE.jsonl")
        found, bad = self._read(limit)
        if not found:
            told = "; ".join(f"{place}: {fault}" for place, fault in bad[:5])
            raise DataError(
                f"{self.file} holds no row with {self.question!r} and {self.answer!r}"
                f"{f' ({told})' if told else ''}",
                hint="a JSONL or CSV file; options name the fields and the grader, as in "
                f"{Path(self.file).name}?grader=words for answers in words; harness:"
                f"{Path(self.file).name} for rows with choices of their own",
            )
        if self.grader == "words" and any("choices" in problem.fields for problem in found):
            raise DataError(
                f"rows of {self.file} have choices of their own, which grader=words leaves out",
                hint=f"harness:{self.file} asks each question with its choices",
            )
        strange = [f"{place} {fault}" for place, fault in bad if fault.endswith(_NO_ANSWER)]
        if len(strange) > len(found):
            raise DataError(
                f"{len(strange)} of {len(strange) + len(found)} reference answers cannot be "
                f"compared with by grader={self.grader}: {'; '.join(strange[:3])}",
                hint="grader=math for expressions, grader=choice for letters, grader=words for "
                "words; or mend the rows",
            )
        return found

    def skipped(self, limit: int) -> Sequence[tuple[str, str]]:
        """Return the place and the fault of rows that are no question, before the last one used."""
        return self._read(limit)[1]

    def prompt(self, problem: Problem) -> str:
        """Return the question and the instruction."""
        asked = self.instruction
        if self.grader == "words" and asked == _INSTRUCTION:
            words = self._words.words
            few = len(words) <= _LISTED
            listed = f"one of: {', '.join(words)}" if few else "the answer in words"
            asked = _INSTRUCTION.replace("the number", listed)
        return f"{problem.question.strip()} {asked}".strip()

    def choices(self, problem: Problem) -> Sequence[str]:
        """Return the words to choose from, none unless answers are graded as words."""
        return self._words.words if self.grader == "words" else ()

    def _read(self, limit: int) -> tuple[list[Problem], list[tuple[str, str]]]:
        path = Path(self.file)
        found: list[Problem] = []
        bad: list[tuple[str, str]] = []
        for line, row in rows_or_faults(path):
            if len(found) == limit:
                break
            fault = row if isinstance(row, str) else self._fault(row)
            if fault or isinstance(row, str):
                bad.append((f"{path.name}:{line}", fault))
                continue
            found.append(
                Problem(
                    id=f"{path.stem}:{line}",
                    question=str(row[self.question]),
                    answer=str(row[self.answer]).strip(),
                    fields=dict(row),
                )
            )
        return found, bad

    def _fault(self, row: Mapping[str, Any]) -> str:
        """Return why a row is no question with an answer that can be graded; empty when it is."""
        missing = [name for name in (self.question, self.answer) if name not in row]
        if missing:
            return f"no field {missing[0]!r}; the row has {', '.join(map(str, row)) or 'none'}"
        question, answer = row[self.question], row[self.answer]
        if not isinstance(question, str) or not question.strip():
            return f"field {self.question!r} is {question!r:.40}, not a question"
        if isinstance(answer, bool) or not isinstance(answer, str | int | float):
            return f"field {self.answer!r} is {answer!r:.40}, not an answer"
        if not self.verifier.accepts(str(answer).strip()):
            return f"{str(answer)[-40:]!r} is {_NO_ANSWER}"
        return ""


@register("task", "gsm8k", source="Cobbe et al. 2021, arXiv:2110.14168")
@dataclass(frozen=True, kw_only=True)
class GSM8K(Questions):
    """Grade-school word problems; without a file, the few that ship with the package."""

    path: str = option("", help="File in the GSM8K format; the shipped sample where none is named.")

    @property
    def file(self) -> str:
        """The file that is read."""
        return self.path or str(files("workbench.data") / "gsm8k_sample.jsonl")
