"""Interventions by name: the chain is written again with one thing changed, and compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from probes.hybrid.thoughts import Limits, Thought
from workbench.errors import BadOption
from workbench.latent.inputs import GatedMixture, TokenInput
from workbench.latent.interventions import Intervened, Intervention
from workbench.latent.thinking import LatentThinking
from workbench.model.model import Model
from workbench.model.tokens import pad

CHANGES: Mapping[str, Intervention] = {
    "closed": Intervention(gate=1.0),
    "open": Intervention(gate=0.0),
    "top-1": Intervention(mixture="top-1"),
    "mean": Intervention(mixture="mean"),
    "noise": Intervention(mixture="noise"),
    "without-drawn": Intervention(drawn=True),
}
ANSWER, SPLICE, TOKENS = "answer-now", "tokens-after", "tokens"
NAMES = (*CHANGES, ANSWER, SPLICE, TOKENS)


def named_changes(names: str) -> tuple[str, ...]:
    """Return the interventions of a comma-separated list.

    Raises:
        BadOption: one does not exist.
    """
    found = tuple(dict.fromkeys(n.strip() for n in names.split(",") if n.strip()))
    unknown = sorted(set(found) - set(NAMES))
    if unknown:
        raise BadOption(f"no intervention {', '.join(unknown)}; known: {', '.join(NAMES)}")
    return found


def changed(policy: LatentThinking, name: str, step: int) -> LatentThinking | None:
    """Return a policy with one thing changed, None where the method has no such thing."""
    if name == TOKENS:
        return replace(policy, inputs=TokenInput())
    if name == ANSWER:
        return replace(policy, close_at=step) if policy.closing else None
    if not isinstance(policy.inputs, GatedMixture):
        return None
    change = Intervention(gate=1.0, first=step) if name == SPLICE else CHANGES[name]
    return replace(policy, inputs=Intervened(inner=policy.inputs, change=change))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Which interventions are tried, at `step` (None: the middle of the thinking)."""

    names: tuple[str, ...]
    step: int | None
    limits: Limits


def try_changes(
    model: Model, policy: LatentThinking, thought: Thought, trial: Trial
) -> list[dict[str, Any]]:
    """Write the chain again under each intervention and compare it with the one before."""
    thinking = sum(thought.latent)
    at = thinking // 2 if trial.step is None else trial.step
    rows = []
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
        rows.append(_compared(model, name, at, thought.response, found))
    return rows


def _compared(
    model: Model, name: str, step: int, before: Sequence[int], after: Sequence[int]
) -> dict[str, Any]:
    same = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        same += 1
    differs = list(before) != list(after)
    has_step = name in (ANSWER, SPLICE)
    return {
        "intervention": name,
        "at": step if has_step else None,
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
