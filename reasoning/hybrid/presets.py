"""Presets of the hybrid recipe for three amounts of compute, and its ablations."""

from dataclasses import dataclass

from workbench.training.ablations import Ablation, by_name
from workbench.training.adapter import LoraShape
from workbench.training.presets import Preset, lora_shape
from workbench.training.scratch import ScratchShape

_POSITIONS = 128


@dataclass(frozen=True, kw_only=True)
class GateAblation(Ablation):
    """Whether there is a gate, whether it learns, whether Λ decays."""

    is_gated: bool = True
    gate_learns: bool = True
    lam_decays: bool = False


ABLATIONS = by_name(
    GateAblation(name="grpo", is_gated=False, gate_learns=False),
    GateAblation(name="hrpo", lam_decays=True),
    GateAblation(name="hrpo-no-decay"),
    GateAblation(name="decay-only", gate_learns=False, lam_decays=True),
)


@dataclass(frozen=True, kw_only=True)
class HybridPreset(Preset):
    """How much is drawn and trained.

    The format stage makes `format_steps` of `format_batch` written answers; each ablation
    then makes `steps` of `prompts` problems with so many `responses` to each, at most
    `new_tokens` long. `judged` problems are held out. `layers` and `d_model` shape a network
    from nothing.
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

    @property
    def lora(self) -> LoraShape:
        """The shape of the adapters."""
        return lora_shape(self.rank)

    @property
    def shape(self) -> ScratchShape:
        """The shape of a network trained from nothing."""
        return ScratchShape(
            layers=self.layers,
            width=self.d_model,
            heads=self.heads,
            positions=_POSITIONS,
            inner=3 * self.d_model,
        )


PRESETS = {
    "tiny": HybridPreset(
        scratch=True, arms="grpo,hrpo,hrpo-no-decay,decay-only", seeds=3,
        problems=20_000, judged=256, format_steps=260, format_batch=128, format_rate=2e-3,
        steps=160, prompts=16, responses=8, new_tokens=40,
        rate=5e-4, gate_rate=1e-3, lam_rate=1e-2,
        rank=16, r_min=0.9, temperature=1.0, at_once=128,
    ),
    "cpu": HybridPreset(
        scratch=False, arms="grpo,hrpo", seeds=1,
        problems=5000, judged=256, format_steps=60, format_batch=16, format_rate=2e-4,
        steps=120, prompts=8, responses=8, new_tokens=40,
        rate=5e-5, gate_rate=1e-3, lam_rate=1e-2,
        rank=16, r_min=0.98, temperature=0.7, at_once=16,
    ),
    "gpu": HybridPreset(
        scratch=False, arms="grpo,hrpo,hrpo-no-decay,decay-only", seeds=3,
        problems=20_000, judged=512, format_steps=100, format_batch=32, format_rate=2e-4,
        steps=300, prompts=32, responses=8, new_tokens=40,
        rate=5e-5, gate_rate=1e-3, lam_rate=1e-2,
        rank=16, r_min=0.98, temperature=0.7, at_once=128,
    ),
}  # fmt: skip
