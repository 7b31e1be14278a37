"""Which questions a contrastive estimate was trained on, and a task without them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.errors import WorkbenchError
from workbench.methods.contracts import Context
from workbench.sampling.task import Problem, Task, open_task
from workbench.training.adapter import LoraShape
from workbench.training.checkpoint import Manifest, texts_hash

_OF = " questions of "


def told_of(problems: Sequence[Problem], address: str, lora: LoraShape) -> dict[str, Any]:
    """Return what a manifest tells of the questions, for `seen_questions` to read."""
    data = f"{len(problems)}{_OF}{address}"
    return {"texts": [p.question for p in problems], "data": data, "adapter": lora.as_dict()}


def seen_questions(manifest: Manifest) -> frozenset[str] | None:
    """Draw again the questions of a training run; None if they cannot be had again.

    The task and the seed give the same questions; the hash in the manifest proves it.
    """
    n, _, address = manifest.data.partition(_OF)
    if not n.isdigit() or not address:
        return None
    try:
        generator = Context(seed=manifest.seed).stream("problems")
        problems = open_task(address).problems(int(n), generator)
    except WorkbenchError:
        return None
    questions = [problem.question for problem in problems]
    return frozenset(questions) if texts_hash(questions) == manifest.data_hash else None


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """A task without some of its questions."""

    task: Task
    seen: Collection[str]

    @property
    def is_chat(self) -> bool:
        """Whether the question is asked as a message."""
        return self.task.is_chat

    def problems(self, limit: int, generator: np.random.Generator) -> Sequence[Problem]:
        """Return up to `limit` problems that are not among those."""
        found = self.task.problems(limit + len(self.seen), generator)
        return [problem for problem in found if problem.question not in self.seen][:limit]

    def prompt(self, problem: Problem) -> str:
        """Return what the task asks."""
        return self.task.prompt(problem)

    def is_correct(self, problem: Problem, response: str) -> bool:
        """Whether the task takes the response for right."""
        return self.task.is_correct(problem, response)

    def extract(self, response: str) -> str | None:
        """Return the final answer as the task reads it."""
        return self.task.extract(response)
