"""The one training loop: seeded, resumable to the same numbers, best weights kept."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from workbench.errors import BadOption, FitError, TooLittleData
from workbench.methods.contracts import Context
from workbench.training.state import State, read_state, write_state


@runtime_checkable
class Objective(Protocol):
    """What is trained: a few parameters, a loss over rows of data, a validation loss.

    The loop never touches parameters that are not listed, so a frozen model stays frozen.
    """

    @property
    def n_rows(self) -> int:
        """The number of training rows."""

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The weights to train, by name."""

    def losses(self, rows: Sequence[int], generator: torch.Generator) -> Iterator[Tensor]:
        """Yield pieces whose sum is the loss of those rows.

        Each piece is differentiated before the next is made, which bounds the memory; pieces
        therefore share no computation that needs a gradient.
        """

    def validate(self) -> float:
        """Return the loss on held-out rows; lower is better."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast to train.

    The learning rate rises linearly over `warmup` steps, then falls as `decay` says to zero at
    the last step. `clip` bounds the norm of the whole gradient (0: no bound).
    """

    steps: int
    rows_per_step: int
    learning_rate: float
    warmup: int = 0
    decay: Literal["constant", "linear", "cosine"] = "cosine"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = 0.0
    save_every: int = 50
    validate_every: int = 50

    @classmethod
    def looked_at(
        cls, times: int, *, steps: int, rows: int, rate: float, warmup: int, **more: Any
    ) -> "Plan":
        """Plan steps that are saved and validated so many times.

        The rate rises over `warmup` steps, a fifth of all at most.
        """
        often = max(1, steps // times)
        return cls(
            steps=steps,
            rows_per_step=rows,
            learning_rate=rate,
            warmup=min(warmup, steps // 5),
            **{"clip": 1.0, "save_every": often, "validate_every": often, **more},
        )

    def __post_init__(self) -> None:
        """Refuse a plan without steps."""
        if min(self.steps, self.rows_per_step, self.save_every, self.validate_every) < 1:
            raise BadOption("steps, rows per step, save_every and validate_every must be positive")

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.decay == "constant":
            return self.learning_rate
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.decay == "linear":
            return self.learning_rate * (1 - done)
        return self.learning_rate * (1 + math.cos(math.pi * done)) / 2


@dataclass(frozen=True, kw_only=True)
class History:
    """The loss and learning rate of every step, and each validation as (step, loss)."""

    losses: tuple[float, ...]
    rates: tuple[float, ...]
    validations: tuple[tuple[int, float], ...]

    @property
    def best(self) -> tuple[int, float]:
        """The step and loss of the best validation."""
        return min(self.validations, key=lambda pair: pair[1])


def train(
    objective: Objective,
    plan: Plan,
    *,
    folder: Path,
    identity: str,
    context: Context,
) -> History:
    """Train, leave the best weights by validation in the parameters, and return the curves.

    The state is kept in `folder` every `save_every` steps. Which rows a step sees and every
    random draw depend on the seed and the step alone, so a resumed run repeats the losses of an
    uninterrupted one bit for bit (same device and thread count). `identity` names what is
    trained on what: a state of another identity is refused.

    Raises:
        FitError: the loss is not finite; the message names the step.
        StoreError: the folder holds the state of something else, or a damaged one.
        TooLittleData: there are no rows.
    """
    if objective.n_rows < 1:
        raise TooLittleData("there are no training rows", hint="give more or longer texts")
    parameters = dict(objective.parameters())
    optimiser = torch.optim.AdamW(
        list(parameters.values()), betas=plan.betas, weight_decay=plan.weight_decay
    )
    state = read_state(folder, identity, parameters, optimiser) if context.resume else None
    if state is None:
        state = State.fresh()
        _validate(objective, state, parameters)
        write_state(folder, identity, parameters, optimiser, state)
    for step in range(state.step, plan.steps):
        context.progress(step, plan.steps, "steps")
        rows = rows_of_step(step, objective.n_rows, plan.rows_per_step, context)
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(step)
        draw = context.torch_stream(f"training step {step}")
        loss = _finite(_gradient(objective, rows, list(parameters.values()), plan.clip, draw), step)
        optimiser.step()
        state.step = step + 1
        state.losses.append(loss)
        state.rates.append(plan.rate(step))
        if state.step % plan.validate_every == 0 or state.step == plan.steps:
            _validate(objective, state, parameters)
        if state.step % plan.save_every == 0 or state.step == plan.steps:
            write_state(folder, identity, parameters, optimiser, state)
    context.progress(plan.steps, plan.steps, "steps")
    _take_over(parameters, state.best)
    return _history(state)


def _finite(loss: float, step: int) -> float:
    if not math.isfinite(loss):
        raise FitError(f"the loss is {loss} at step {step}", hint="lower the learning rate")
    return loss


def _history(state: State) -> History:
    return History(
        losses=tuple(state.losses),
        rates=tuple(state.rates),
        validations=tuple(state.validations),
    )


def rows_of_step(step: int, n_rows: int, rows_per_step: int, context: Context) -> list[int]:
    """Return the rows a step sees: every epoch is a new order of all rows."""
    rows: list[int] = []
    at = step * rows_per_step
    while len(rows) < rows_per_step:
        epoch, start = divmod(at + len(rows), n_rows)
        order = context.stream(f"training order {epoch}").permutation(n_rows)
        rows += [int(i) for i in order[start : start + rows_per_step - len(rows)]]
    return rows


def _gradient(
    objective: Objective,
    rows: Sequence[int],
    weights: Sequence[nn.Parameter],
    clip: float,
    generator: torch.Generator,
) -> float:
    """Leave the gradient of the rows' loss in the parameters and return the loss."""
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    total = 0.0
    for piece in objective.losses(rows, generator):
        gradients = torch.autograd.grad(piece, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None and weight.grad is not None:
                weight.grad += gradient
        total += float(piece.detach())
    if clip > 0:
        torch.nn.utils.clip_grad_norm_(weights, clip)
    return total


def _validate(objective: Objective, state: State, parameters: Mapping[str, nn.Parameter]) -> None:
    with torch.no_grad():
        loss = objective.validate()
    if not math.isfinite(loss):
        raise FitError(
            f"the validation loss is {loss} after step {state.step}",
            hint="lower the learning rate",
        )
    if all(loss < earlier for _, earlier in state.validations):
        state.best = {name: p.detach().clone() for name, p in parameters.items()}
    state.validations.append((state.step, loss))


def _take_over(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(values[name])
