"""Problems with a known answer and a strict verifier."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from workbench.errors import BadOption, DataError, UnknownName
from workbench.methods.registry import find, plugins
from workbench.options import build
from workbench.sampling.address import TaskAddress
from workbench.sampling.conventions import Found


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One question with its reference answer; `steps` are the written steps, if any."""

    id: str
    question: str
    answer: str
    steps: tuple[str, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)


@runtime_checkable
class Task(Protocol):
    """A source of problems and the verifier of their answers.

    `is_chat` tasks are asked through the model's chat template; the others are plain text that
    the model continues, and end at the first line break.
    """

    @property
    def is_chat(self) -> bool:
        """Whether the prompt is a message rather than a text to continue."""

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Return up to `limit` problems: generated ones are drawn, a file's come in order."""

    def prompt(self, problem: Problem) -> str:
        """Return what a model is asked, before any chat template."""

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the response's final answer is right."""

    def extract(self, response: str) -> str | None:
        """Return the final answer of a response as written."""


@runtime_checkable
class Choices(Protocol):
    """A task whose problems offer answers to choose from."""

    def choices(self, problem: Problem) -> Sequence[str]:
        """Return the answers on offer."""


@runtime_checkable
class WrittenSteps(Protocol):
    """A task that words the steps of its problems, the last one holding the answer."""

    def sentences(self, problem: Problem) -> tuple[str, ...]:
        """Return the sentences of a solution."""


@runtime_checkable
class AnswerLead(Protocol):
    """A task with its own words before an answer."""

    @property
    def answer_lead(self) -> str:
        """The words, such as `The answer is`."""


@runtime_checkable
class FindsAnswers(Protocol):
    """A task that says by which convention it read an answer."""

    def find(self, response: str) -> Found:
        """Return the final answer with its grader and convention."""


@runtime_checkable
class SkipsRows(Protocol):
    """A task whose file may hold rows that are no problem; they are left out and named."""

    def skipped(self, limit: int) -> Sequence[tuple[str, str]]:
        """Return the place and the fault of those that stand before the last problem used."""


def open_task(address: str) -> Task:
    """Return the task written `NAME`, `NAME:FILE`, `NAME?option=value`, or a question file's path.

    Raises:
        UnknownName: no task carries that name.
        BadOption: an option that the task does not have, or a value out of its bounds.
        DataError: the file does not exist.
    """
    asked = TaskAddress.parse(address)
    known = [plugin.name for plugin in plugins("task")]
    if asked.name not in known:
        raise UnknownName(
            f"no task is called {asked.name!r}; known: {', '.join(known)}",
            hint="NAME, NAME:FILE, NAME?option=value, or a .jsonl file with question and answer",
        )
    if asked.path and not Path(asked.path).is_file():
        raise DataError(f"no file {asked.path!r} for task {asked.name}", hint="check the path")
    recipe: Any = find("task", asked.name).recipe
    named = {"path": asked.path} if asked.path else {}
    try:
        task: Task = build(recipe, {**asked.options, **named})
    except BadOption as error:
        raise BadOption(f"task {asked.name}: {error.message}", hint=_options(asked.name)) from error
    return task


def _options(name: str) -> str:
    infos = find("task", name).options
    return f"{name}?" + "&".join(f"{info.name}={info.default}" for info in infos if info.default)
