"""Presets of the recipe for three amounts of compute, and its ablations."""

from dataclasses import dataclass

from reasoning.coconut.thought_objective import Stage
from workbench.training.ablations import Ablation, by_name
from workbench.training.presets import NetworkPreset


@dataclass(frozen=True, kw_only=True)
class ThoughtAblation(Ablation):
    """What is fed as a thought, and whether steps are left out one after the other."""

    feeds_states: bool = True
    has_thoughts: bool = True
    has_curriculum: bool = True


ABLATIONS = by_name(
    ThoughtAblation(name="coconut"),
    ThoughtAblation(name="pause", feeds_states=False),
    ThoughtAblation(name="no-thought", feeds_states=False, has_thoughts=False),
    ThoughtAblation(name="no-curriculum", has_curriculum=False),
)


@dataclass(frozen=True, kw_only=True)
class CoconutPreset(NetworkPreset):
    """How long the writer and the ablations are trained.

    The writer learns `writing` steps of whole chains; each ablation then goes through `stages`
    stages of `steps` steps, each leaving one more written step out for `per_step` thoughts.
    `judged` problems are kept from training and choosing.
    """

    arms: str
    judged: int
    writing: int
    stages: int
    steps: int
    writing_rate: float
    rate: float
    per_step: int = 1

    @property
    def evaluated(self) -> int:
        """The number of problems to evaluate on."""
        return self.judged

    def curriculum(self, ablation: ThoughtAblation) -> tuple[tuple[Stage, int], ...]:
        """Return the stages of an ablation with the steps of each; all make as many."""
        each = [
            Stage(
                replaced=k,
                # As in the paper, without curriculum all thoughts are there from the start.
                thoughts=k * self.per_step if ablation.has_thoughts else 0,
                feeds_states=ablation.feeds_states,
            )
            for k in range(1, self.stages + 1)
        ]
        if ablation.has_curriculum:
            return tuple((stage, self.steps) for stage in each)
        return ((each[-1], self.steps * self.stages),)


PRESETS = {
    "tiny": CoconutPreset(
        scratch=True, arms="coconut,pause", problems=48, held_out=12, judged=16, batch=8,
        layers=2, width=32, heads=2, writing=12, stages=3, steps=4,
        writing_rate=3e-3, rate=2e-3,
    ),
    "cpu": CoconutPreset(
        scratch=True, arms="coconut,pause,no-thought,no-curriculum", problems=12_000,
        held_out=200, judged=500, batch=32, writing=1200, stages=3, steps=400,
        writing_rate=1.5e-3, rate=1e-3,
    ),
    "gpu": CoconutPreset(
        scratch=False, arms="coconut,pause,no-thought,no-curriculum", problems=15_000,
        held_out=200, judged=500, batch=32, rank=16, writing=1500, stages=6, steps=600,
        writing_rate=4e-4, rate=2e-4,
    ),
}  # fmt: skip
