"""Sizes of the hybrid recipe for three amounts of compute, and its arms."""

from dataclasses import dataclass, fields, replace
from typing import Any

from workbench.errors import BadOption
from workbench.training.adapter import LoraShape


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of training: whether there is a gate, whether it learns, whether Λ decays."""

    name: str
    is_gated: bool = True
    gate_learns: bool = True
    lam_decays: bool = False


ARMS = {
    arm.name: arm
    for arm in (
        Arm(name="grpo", is_gated=False, gate_learns=False),
        Arm(name="hrpo", lam_decays=True),
        Arm(name="hrpo-no-decay"),
        Arm(name="decay-only", gate_learns=False, lam_decays=True),
    )
}


def arms_of(names: str) -> tuple[Arm, ...]:
    """Return the arms of a comma-separated list.

    Raises:
        BadOption: an arm does not exist, or is named twice.
    """
    found = [name.strip() for name in names.split(",") if name.strip()]
    unknown = sorted(set(found) - set(ARMS))
    if unknown or not found or len(set(found)) != len(found):
        raise BadOption(
            f"arms {names!r}; expected different ones of {', '.join(ARMS)}, separated by commas"
        )
    return tuple(ARMS[name] for name in found)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is drawn and trained.

    The format stage makes `format_steps` of `format_batch` written answers; each arm then makes
    `steps` of `prompts` problems with so many `responses` to each, at most `new_tokens` long.
    `judged` problems are held out. `layers` and `d_model` shape a network from nothing.
    """

    scratch: bool
    arms: str
    seeds: int
    problems: int
    judged: int
    format_steps: int
    format_batch: int
    format_rate: float
    steps: int
    prompts: int
    responses: int
    new_tokens: int
    rate: float
    gate_rate: float
    lam_rate: float
    rank: int
    r_min: float
    temperature: float
    at_once: int
    layers: int = 4
    d_model: int = 128
    heads: int = 4

    def with_options(self, recipe: Any, limit: int | None) -> "Sizes":
        """Return these sizes with what a recipe sets on top; `limit` bounds the problems."""
        names = [f.name for f in fields(self) if getattr(recipe, f.name, None) is not None]
        given = {name: getattr(recipe, name) for name in names}
        if limit is not None:
            given.setdefault("problems", limit)
        return replace(self, **given)

    @property
    def lora(self) -> LoraShape:
        """The shape of the adapters."""
        return LoraShape(rank=self.rank, alpha=2.0 * self.rank, part="both")


PRESETS = {
    "tiny": Sizes(
        scratch=True, arms="grpo,hrpo,hrpo-no-decay,decay-only", seeds=3,
        problems=20_000, judged=256, format_steps=260, format_batch=128, format_rate=2e-3,
        steps=160, prompts=16, responses=8, new_tokens=40,
        rate=5e-4, gate_rate=1e-3, lam_rate=1e-2,
        rank=16, r_min=0.9, temperature=1.0, at_once=128,
    ),
    "cpu": Sizes(
        scratch=False, arms="grpo,hrpo", seeds=1,
        problems=5000, judged=256, format_steps=60, format_batch=16, format_rate=2e-4,
        steps=120, prompts=8, responses=8, new_tokens=40,
        rate=5e-5, gate_rate=1e-3, lam_rate=1e-2,
        rank=16, r_min=0.98, temperature=0.7, at_once=16,
    ),
    "gpu": Sizes(
        scratch=False, arms="grpo,hrpo,hrpo-no-decay,decay-only", seeds=3,
        problems=20_000, judged=512, format_steps=100, format_batch=32, format_rate=2e-4,
        steps=300, prompts=32, responses=8, new_tokens=40,
        rate=5e-5, gate_rate=1e-3, lam_rate=1e-2,
        rank=16, r_min=0.98, temperature=0.7, at_once=128,
    ),
}  # fmt: skip
