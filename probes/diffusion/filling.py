"""Problems with their responses hidden, and what a decoder made of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray

from workbench.errors import DataError
from workbench.methods.contracts import Context
from workbench.model.denoiser import Denoiser
from workbench.model.tokens import token_ids
from workbench.sampling.marked import written_response
from workbench.sampling.task import Problem, Task
from workbench.sampling.unmasking import Decoding, Trajectory, unmask

SUMS = "sums?terms=3&smallest=10&largest=33"
GUIDE = "left-to-right"
"""Where the guide lies beside the network."""
_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class Hidden:
    """A problem whose response is hidden: as many positions as its reference has tokens.

    The last `answer` of them hold the answer.
    """

    problem: Problem
    prompt: tuple[int, ...]
    reference: tuple[int, ...]
    answer: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Filled:
    """One problem with its response filled in; row `row` of a trajectory."""

    hidden: Hidden
    trajectory: Trajectory
    row: int

    @property
    def tokens(self) -> tuple[int, ...]:
        """The response."""
        return tuple(self.trajectory.filled[self.row].tolist())

    @cached_property
    def n_steps(self) -> int:
        """The steps until nothing was hidden."""
        return int(self.fixed_at.max()) + 1

    @cached_property
    def fixed_at(self) -> Int[np.ndarray, " pos"]:
        """The step that filled each position."""
        return self.trajectory.fixed_at[self.row].numpy()

    def mean_of_steps(self, name: str) -> float:
        """Return the mean of what a trajectory tells of every step."""
        found: torch.Tensor = getattr(self.trajectory, name)
        return float(found[: self.n_steps, self.row].mean())

    @property
    def drift(self) -> Float[np.ndarray, "kind layer step"]:
        """1 − cosine of keys and values with those of the step before."""
        return self.trajectory.drift[: self.n_steps, :, :, self.row].permute(1, 2, 0).numpy()

    @property
    def states(self) -> Float[np.ndarray, "step layer kept d_model"]:
        """The states of the answer's positions."""
        return self.trajectory.states[: self.n_steps, :, self.row].numpy()


def hide(denoiser: Denoiser, problems: Sequence[Problem], mark: str) -> list[Hidden]:
    """Write problems in tokens, the responses to be hidden.

    Raises:
        DataError: a question holds what the network has no token for.
    """
    found = [_hidden(denoiser, problem, mark) for problem in problems]
    unknown = [h.problem.question for h in found if denoiser.mask_id in h.prompt]
    if unknown:
        raise DataError(
            f"{len(unknown)} questions hold characters that {denoiser.name} does not know, "
            f"such as {unknown[0][:60]!r}",
            hint="the task it was trained on, or another --network",
        )
    return found


def fill(
    denoiser: Denoiser, rows: Sequence[Hidden], decoding: Decoding, context: Context
) -> list[Filled]:
    """Fill the responses, those of one shape together; a problem's draws are its own."""
    found: dict[int, Filled] = {}
    for some in _of_one_shape(rows):
        for start in range(0, len(some), _AT_ONCE):
            part = some[start : start + _AT_ONCE]
            first = rows[part[0]]
            trajectory = unmask(
                denoiser,
                torch.tensor([rows[i].prompt for i in part]),
                len(first.reference),
                decoding.keeping(range(len(first.reference) - first.answer, len(first.reference))),
                [context.torch_stream(f"unmask {rows[i].problem.id}") for i in part],
            )
            for row, i in enumerate(part):
                found[i] = Filled(hidden=rows[i], trajectory=trajectory, row=row)
    return [found[i] for i in range(len(rows))]


def accuracy(denoiser: Denoiser, task: Task, filled: Sequence[Filled]) -> NDArray[np.float64]:
    """Return whether each response is right, and whether it answers the next problem instead."""
    texts = [str(denoiser.tokenizer.decode(list(one.tokens))) for one in filled]
    problems = [one.hidden.problem for one in filled]
    others = [*problems[1:], problems[0]]
    return np.array(
        [
            [task.is_correct(p, text) for p, text in zip(some, texts, strict=True)]
            for some in (problems, others)
        ],
        dtype=np.float64,
    )


def _hidden(denoiser: Denoiser, problem: Problem, mark: str) -> Hidden:
    def ids(text: str) -> tuple[int, ...]:
        return tuple(token_ids(denoiser.tokenizer, text, special_tokens=False))

    response = written_response(problem, mark)
    reference = ids(response)
    before = ids(response.removesuffix(problem.answer))
    return Hidden(
        problem=problem,
        prompt=ids(problem.question),
        reference=reference,
        answer=max(1, len(reference) - len(before)),
    )


def _of_one_shape(rows: Sequence[Hidden]) -> list[list[int]]:
    shapes: dict[tuple[int, int, int], list[int]] = {}
    for i, row in enumerate(rows):
        shapes.setdefault((len(row.prompt), len(row.reference), row.answer), []).append(i)
    return list(shapes.values())
