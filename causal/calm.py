"""Questions of CaLM Lite: graphs, adjustment sets, effects and bounds, as released."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from causal.worlds.calm_rows import FILE, Asked, answers_of, is_calm, read_row
from causal.worlds.released_rows import Row, fitting_rows
from workbench.errors import DataError
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.conventions import Found
from workbench.sampling.grading import NumberGrader
from workbench.sampling.items import Item, ItemTask
from workbench.sampling.task import Problem

_PLACES = 4


@register("task", "calm", source="Chen et al. 2024, arXiv:2405.00622")
@dataclass(frozen=True, kw_only=True)
class Calm(ItemTask):
    """Answer a task of CaLM Lite: yes or no, one of three options, or a number to four places.

    `calm:FILE` reads one file of the set (JSON lines, packed or not), labels as they are; its name
    says which set of variables a question with options asks for. Each question has what the graph
    says of it as its proof. `workbench causal audit FILE` says which labels are wrong and which
    questions have several right options.

    Source: arXiv:2405.00622, in own words.
    """

    path: str = option("", help="File of one task of the set.")

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Return up to `limit` questions in the order of the file.

        Raises:
            DataError: no file is named, it holds no question, or the answers are numbers.
        """
        found = [self._item(row, asked) for row, asked in self._rows(limit) if asked.choices]
        if not found:
            raise DataError(
                f"the answers of {self.path} are numbers and offer no choice",
                hint="probe run prompted-answers, or reason run",
            )
        return found

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Return up to `limit` questions, those with a number as well."""
        return [
            self._item(row, asked).as_problem() if asked.choices else _number(self.path, row, asked)
            for row, asked in self._rows(limit)
        ]

    def prompt(self, problem: Problem) -> str:
        """Return the question and how it is to be answered."""
        choices = self.choices(problem)
        how = f"Answer {', '.join(choices[:-1])} or {choices[-1]}." if choices else _HOW
        return f"{problem.question} {how}"

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the response takes the right choice, or its number agrees to four places."""
        if self.choices(problem):
            return super().is_correct(problem, response)
        found = NumberGrader().extract(response)
        return found is not None and round(_value(found), _PLACES) == round(
            float(problem.answer), _PLACES
        )

    def find(self, response: str) -> Found:
        """Return the number that a response gives, where the file asks for numbers."""
        is_number = "-P_" in Path(self.path).name
        return NumberGrader().find(response) if is_number else super().find(response)

    def _rows(self, limit: int) -> list[tuple[Row, Asked]]:
        rows = fitting_rows(self.path, is_calm, "gt_answer with vertices or Background")[:limit]
        return [(row, read_row(self._named(row.values))) for row in rows]

    def _named(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        return {**values, FILE: Path(self.path).name}

    def _item(self, row: Row, asked: Asked) -> Item:
        return Item(
            id=f"{Path(self.path).name.partition('.jsonl')[0]}:{row.line}",
            task="calm",
            family=asked.kind,
            prompt=asked.text,
            choices=asked.choices,
            gold=asked.right or 0,
            group=asked.graph,
            template=asked.kind,
            proof=_reasons(row) or answers_of(self._named(row.values))[1],
            meta={"edges": [list(edge) for edge in asked.edges]},
        )


_HOW = "Answer with a number to four decimal places."


def _number(path: str, row: Row, asked: Asked) -> Problem:
    return Problem(
        id=f"{Path(path).name.partition('.jsonl')[0]}:{row.line}",
        question=asked.text,
        answer=asked.answer,
        steps=_reasons(row),
        fields={**asdict(asked), "group": asked.graph, "family": asked.kind},
    )


def _reasons(row: Row) -> tuple[str, ...]:
    return tuple(map(str, dict(row.values.get("Reason", {})).values()))


def _value(numeral: str) -> float:
    top, _, bottom = numeral.partition("/")
    return float(top) / float(bottom or 1)
