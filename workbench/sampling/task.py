"""Problems with a known answer and a strict verifier."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from workbench.errors import DataError, UnknownName
from workbench.methods.registry import find, plugins


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


def open_task(address: str) -> Task:
    """Return the task written `NAME`, `NAME:FILE`, or the path of a question file.

    Raises:
        UnknownName: no task carries that name.
        DataError: the file does not exist.
    """
    name, _, path = address.partition(":")
    known = [plugin.name for plugin in plugins("task")]
    if name not in known and Path(address).suffix:
        name, path = "questions", address
    if name not in known:
        raise UnknownName(
            f"no task is called {name!r}; known: {', '.join(known)}",
            hint="NAME, NAME:FILE, or a .jsonl file with question and answer",
        )
    if path and not Path(path).is_file():
        raise DataError(f"no file {path!r} for task {name}", hint="check the path")
    recipe: Any = find("task", name).recipe
    task: Task = recipe(path=path) if path else recipe()
    return task
