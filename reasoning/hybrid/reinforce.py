"""The loop of reinforcement: rollouts, rewards, one update of each; resumable, with curves."""

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from reasoning.hybrid.demonstrations import Demonstration
from reasoning.hybrid.learner import Learner
from reasoning.hybrid.objective import advantages
from reasoning.hybrid.ratios import hidden_ratios
from workbench.errors import FitError
from workbench.latent.replay import LatentRollout
from workbench.methods.contracts import Context
from workbench.sampling.marked import marked_answer
from workbench.sampling.task import Problem
from workbench.training.loop import Plan, rows_of_step
from workbench.training.state import State, read_state, write_state

CURVES = "curves.jsonl"
Reward = Callable[[Problem, str], float]


@dataclass(frozen=True, kw_only=True)
class Reinforcement:
    """How an ablation is trained: AdamW with the paper's moments, clip and decay.

    `minutes` ends the training early (0: never); the curve tells after how many steps.
    """

    reward: Reward
    decay: float = 0.1
    clip: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    save_every: int = 20
    minutes: float = 0.0


def parameters(learner: Learner) -> dict[str, nn.Parameter]:
    """Return everything that trains, by name."""
    found = dict(learner.adapter.parameters())
    if learner.gate is not None:
        found |= {f"gate.{name}": p for name, p in learner.gate.named_parameters()}
    return found


def optimiser(learner: Learner, how: Reinforcement) -> torch.optim.Optimizer:
    """Return AdamW with a group for the adapter, the gate's matrices and Λ.

    Λ decays only in ablations that ask for it: its decay opens the gate without any learning.
    """
    preset = learner.preset
    groups: list[dict[str, Any]] = [
        {
            "params": list(learner.adapter.parameters().values()),
            "peak": preset.rate,
            "weight_decay": how.decay,
        }
    ]
    if learner.gate is not None:
        lam = [learner.gate.lam]
        rest = [p for name, p in learner.gate.named_parameters() if name != "lam"]
        decay = how.decay if learner.ablation.lam_decays else 0.0
        groups.append({"params": rest, "peak": preset.gate_rate, "weight_decay": how.decay})
        groups.append({"params": lam, "peak": preset.lam_rate, "weight_decay": decay})
    return torch.optim.AdamW(groups, betas=how.betas)


def reinforce(
    learner: Learner,
    demonstrations: Sequence[Demonstration],
    how: Reinforcement,
    *,
    identity: str,
    context: Context,
) -> list[dict[str, Any]]:
    """Train, and return one row of the curve per step.

    `identity` names what is trained on what.
    Which problems a step sees and what is drawn depend on seed and step alone, so ablations of one
    seed see the same problems with the same random numbers.

    Raises:
        FitError: the loss is not finite.
        StoreError: the folder holds the state of something else.
    """
    folder = context.folder
    trained, steps = parameters(learner), learner.preset.steps
    stepper = optimiser(learner, how)
    state = read_state(folder, identity, trained, stepper) if context.resume else None
    curve = _curve(folder, state.step if state else 0)
    state = state or State.fresh()
    plan = Plan(steps=steps, rows_per_step=1, learning_rate=1.0, warmup=max(1, steps // 10))
    clock = time.monotonic()
    for step in range(state.step, steps):
        context.progress(step, steps, f"steps of {learner.ablation.name}")
        row = _step(learner, demonstrations, how, (stepper, plan.rate(step), step), context)
        curve.append(row)
        _write_row(folder, row)
        state.step = step + 1
        state.losses.append(row["loss"])
        state.rates.append(plan.rate(step))
        out_of_time = bool(how.minutes) and time.monotonic() - clock > 60 * how.minutes
        if state.step % how.save_every == 0 or state.step == steps or out_of_time:
            state.best = {name: p.detach().clone() for name, p in trained.items()}
            write_state(folder, identity, trained, stepper, state)
        if out_of_time:
            break
    return curve


def _step(
    learner: Learner,
    demonstrations: Sequence[Demonstration],
    how: Reinforcement,
    at: tuple[torch.optim.Optimizer, float, int],
    context: Context,
) -> dict[str, Any]:
    stepper, factor, step = at
    rows = rows_of_step(step, len(demonstrations), learner.preset.prompts, context)
    seed = int(context.stream(f"rollouts {step}").integers(2**62))
    some = [demonstrations[i] for i in rows]
    rollouts = learner.rollouts(some, seed)
    texts = [learner.text(rollout.response) for rollout in rollouts]
    problems = [one.problem for one in some for _ in range(learner.preset.responses)]
    rewards = [how.reward(p, text) for p, text in zip(problems, texts, strict=True)]
    advantage = advantages(rewards, learner.preset.responses)
    stepper.zero_grad(set_to_none=True)
    loss, kl = 0.0, 0.0
    for piece, distance in learner.losses(rollouts, advantage):
        torch.autograd.backward(piece)
        loss += float(piece.detach())
        kl += distance / len(rollouts)
    if not math.isfinite(loss):
        raise FitError(f"the loss is {loss} at step {step}", hint="lower the learning rate")
    update(learner, stepper, how, factor)
    told = _told(learner, rollouts, texts)
    mixed = (advantage.reshape(-1, learner.preset.responses) != 0).any(dim=1).float().mean()
    mean = sum(rewards) / len(rewards)
    return {"step": step + 1, "reward": mean, "mixed": float(mixed), "kl": kl, "loss": loss} | told


def update(
    learner: Learner, stepper: torch.optim.Optimizer, how: Reinforcement, factor: float
) -> None:
    """Clip the gradient and make one step at `factor` times the highest rates.

    A gate that is not to learn gets a gradient of zero, so that only its decay acts.
    """
    if learner.gate is not None and not learner.ablation.gate_learns:
        for parameter in learner.gate.parameters():
            parameter.grad = torch.zeros_like(parameter)
    for group in stepper.param_groups:
        group["lr"] = factor * group["peak"]
    if how.clip:
        torch.nn.utils.clip_grad_norm_(parameters(learner).values(), how.clip)
    stepper.step()


def _told(
    learner: Learner, rollouts: Sequence[LatentRollout], texts: Sequence[str]
) -> dict[str, float | None]:
    n = len(rollouts)
    marked = [marked_answer(text, learner.setting.mark) is not None for text in texts]
    return {
        "format": sum(marked) / n,
        "length": sum(len(rollout.response) for rollout in rollouts) / n,
        **hidden_ratios(learner.gate, learner.table, rollouts),
    }


def _curve(folder: Path, step: int) -> list[dict[str, Any]]:
    """Return the rows that belong to the state, and forget those written after it."""
    path = folder / CURVES
    lines = path.read_text().splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    kept = [row for row in rows if row["step"] <= step]
    if rows:
        path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return kept


def _write_row(folder: Path, row: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / CURVES).open("a") as file:
        file.write(json.dumps(row) + "\n")
