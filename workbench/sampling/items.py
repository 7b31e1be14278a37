"""Choice questions with a computed answer: the record that generators, scores and files share."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from workbench.errors import DataError
from workbench.sampling.choice_words import WordGrader
from workbench.sampling.conventions import Found
from workbench.sampling.task import Problem, Task

YES_NO = ("Yes", "No")


@dataclass(frozen=True, kw_only=True)
class Item:
    """One question with its choices, of which `gold` is right.

    `group` names what items share (a premise, a model): the unit of resampling. `graded` is a
    target between the choices, such as the share of a class in which a hypothesis holds.
    `template` is the wording without its names and numbers. `spans` are characters of the prompt
    by name. `variants` are the same question relabelled, reworded or in another order.
    """

    id: str
    task: str
    family: str
    prompt: str
    choices: tuple[str, ...] = YES_NO
    gold: int
    graded: float | None = None
    group: str = ""
    template: str = ""
    proof: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a question whose right choice is not on offer."""
        if not 0 <= self.gold < len(self.choices) or len(set(self.choices)) < 2:
            raise DataError(
                f"item {self.id}: choice {self.gold} of {list(self.choices)} is right; expected "
                "two different choices or more, counted from 0",
                hint="mend the row",
            )

    @property
    def answer(self) -> str:
        """The right choice."""
        return self.choices[self.gold]

    def as_problem(self) -> Problem:
        """Return it as a problem of a task; the record is kept in its fields."""
        return Problem(
            id=self.id,
            question=self.prompt,
            answer=self.answer,
            steps=self.proof,
            fields=asdict(self),
        )


@runtime_checkable
class MakesItems(Protocol):
    """A task whose problems are choice questions with a record."""

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Return up to `limit` items: generated ones are drawn, a file's come in order."""


class ItemTask:
    """What tasks have in common that make items: prompt, choices and grading."""

    instruction: ClassVar[str] = "Answer Yes or No."

    @property
    def is_chat(self) -> bool:
        """Questions are asked as messages."""
        return True

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Return up to `limit` items."""
        raise NotImplementedError

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Return the items as problems."""
        return [item.as_problem() for item in self.items(limit, generator)]

    def prompt(self, problem: Problem) -> str:
        """Return the question and how it is to be answered."""
        return f"{problem.question} {self.instruction}".strip()

    def choices(self, problem: Problem) -> Sequence[str]:
        """Return the answers on offer."""
        return tuple(problem.fields["choices"])

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the response takes the right choice."""
        grader = WordGrader(words=tuple(problem.fields["choices"]))
        return grader.is_correct(response, problem.answer)

    def extract(self, response: str) -> str | None:
        """Return the choice that a response takes."""
        return self.find(response).answer

    def find(self, response: str) -> Found:
        """Return the choice that a response takes, with its convention."""
        return WordGrader(words=YES_NO).find(response)


def items_of(task: Task, limit: int, generator: np.random.Generator) -> Sequence[Item]:
    """Return the choice questions of a task; any task whose problems offer choices has some.

    Raises:
        DataError: its problems offer no choices, or not the right one.
    """
    if isinstance(task, MakesItems):
        return task.items(limit, generator)
    found = []
    for problem in task.problems(limit, generator):
        choices = tuple(getattr(task, "choices", lambda _: ())(problem))
        if problem.answer not in choices:
            raise DataError(
                f"problem {problem.id} offers {', '.join(choices) or 'no choices'}; expected "
                f"{problem.answer!r} among them",
                hint="name a task of choice questions: `workbench reason tasks`",
            )
        found.append(
            Item(
                id=problem.id,
                task=type(task).__name__,
                family=type(task).__name__,
                prompt=problem.question,
                choices=choices,
                gold=choices.index(problem.answer),
                group=problem.id,
            )
        )
    return found


def manifest(items: Sequence[Item]) -> str:
    """Return the hash of items: the same prompts, choices and answers give the same one."""
    told = [[i.id, i.prompt, list(i.choices), i.gold, i.group] for i in items]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()[:16]
