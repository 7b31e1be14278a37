"""Problems as token ids: asked as the task asks them, with the answer written out and marked."""

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.model.model import Model
from workbench.model.tokens import token_ids
from workbench.sampling.marked import written_response
from workbench.sampling.prompting import prompt_ids, stop_ids
from workbench.sampling.task import Problem, Task


@dataclass(frozen=True, kw_only=True, eq=False)
class Demonstration:
    """One problem with its prompt, and the written response to learn the format from."""

    problem: Problem
    prompt: tuple[int, ...]
    written: tuple[int, ...]


def demonstrations(
    model: Model, task: Task, problems: Sequence[Problem], mark: str
) -> list[Demonstration]:
    """Return problems as a model reads and writes them; a written response ends the text."""
    end = end_id(model, task)
    return [
        Demonstration(
            problem=problem,
            prompt=prompt_ids(model, task, problem),
            written=(
                *token_ids(model.tokenizer, written_response(problem, mark), special_tokens=False),
                end,
            ),
        )
        for problem in problems
    ]


def end_id(model: Model, task: Task) -> int:
    """Return the token that a response is taught to end with: the tokenizer's own, if it stops."""
    ends = stop_ids(model, task)
    own = model.tokenizer.eos_token_id
    return int(own) if own in ends else int(ends[0])
