"""Interventions by name: the chain is written again with one thing changed, and compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from probes.hybrid.thoughts import Limits, Thought
from workbench.latent.inputs import GatedMixture, TokenInput
from workbench.latent.interventions import Intervened
from workbench.latent.named_changes import ANSWER, CHANGES, TOKENS
from workbench.latent.thinking import LatentThinking
from workbench.model.model import Model
from workbench.model.tokens import pad


def changed(policy: LatentThinking, name: str, step: int) -> LatentThinking | None:
    """Return a policy with one thing changed, None where the method has no such thing."""
    if name == TOKENS:
        return replace(policy, inputs=TokenInput())
    if name == ANSWER:
        return replace(policy, close_at=step) if policy.closing else None
    change = CHANGES[name].to_gate
    if change is None or not isinstance(policy.inputs, GatedMixture):
        return None
    change = replace(change, first=step if CHANGES[name].has_step else 0)
    return replace(policy, inputs=Intervened(inner=policy.inputs, change=change))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Which interventions are tried, at `step` (None: the middle of the thinking)."""

    names: tuple[str, ...]
    step: int | None
    limits: Limits


def try_changes(
    model: Model, policy: LatentThinking, thought: Thought, trial: Trial
) -> Iterator[dict[str, Any]]:
    """Write the chain again under each intervention and compare it with the one before."""
    thinking = sum(thought.latent)
    at = thinking // 2 if trial.step is None else trial.step
    for name in trial.names:
        other = changed(policy, name, at)
        if other is None:
            continue
        trace = model.generate(
            pad([thought.prompt]).to(model.device),
            policy=other,
            limit=trial.limits.tokens,
            options=trial.limits.options,
        )
        found = trace.generated[0]
        yield _compared(model, name, at, thought.response, found)


def _compared(
    model: Model, name: str, step: int, before: Sequence[int], after: Sequence[int]
) -> dict[str, Any]:
    same = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        same += 1
    differs = list(before) != list(after)
    return {
        "intervention": name,
        "at": step if CHANGES[name].has_step else None,
        "differs": differs,
        "first_change": same if differs else None,
        "kept": same / max(len(before), len(after)),
        "response": model.decode(list(after)),
        "ids": list(after),
    }


def rewritten_rows(
    model: Model, name: str, before: Sequence[int], after: Sequence[int]
) -> list[dict[str, Any]]:
    """Return a response token by token, beside the one before."""
    rows = []
    for step, token in enumerate(after):
        differs = step >= len(before) or token != before[step]
        rows.append(
            {
                "intervention": name,
                "step": step,
                "token": model.decode([token]),
                "differs": float(differs),
                "other": differs,
            }
        )
    return rows
