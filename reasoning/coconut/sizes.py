"""Sizes of the recipe for three amounts of compute, and its arms."""

from dataclasses import dataclass

from reasoning.coconut.thought_task import Stage
from workbench.errors import BadOption
from workbench.training.sizes import TrainingSizes


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of training: what is fed as a thought, and whether steps go one after the other."""

    name: str
    feeds_states: bool = True
    has_thoughts: bool = True
    has_curriculum: bool = True


ARMS = {
    arm.name: arm
    for arm in (
        Arm(name="coconut"),
        Arm(name="pause", feeds_states=False),
        Arm(name="no-thought", feeds_states=False, has_thoughts=False),
        Arm(name="no-curriculum", has_curriculum=False),
    )
}


def arms_of(names: str) -> tuple[Arm, ...]:
    """Return the arms of a comma-separated list.

    Raises:
        BadOption: an arm does not exist, or is named twice.
    """
    found = [name.strip() for name in names.split(",") if name.strip()]
    if not found or set(found) - set(ARMS) or len(set(found)) != len(found):
        raise BadOption(
            f"arms {names!r}; expected different ones of {', '.join(ARMS)}, separated by commas"
        )
    return tuple(ARMS[name] for name in found)


@dataclass(frozen=True, kw_only=True)
class Sizes(TrainingSizes):
    """How long writer and arms are trained.

    The writer learns `writing` steps of whole chains; each arm then goes through `stages` stages
    of `steps` steps, each leaving one more written step out for `per_step` thoughts. `judged`
    problems are kept from training and choosing.
    """

    arms: str
    judged: int
    writing: int
    stages: int
    steps: int
    writing_rate: float
    rate: float
    per_step: int = 1

    def curriculum(self, arm: Arm) -> tuple[tuple[Stage, int], ...]:
        """Return the stages of an arm with the steps of each; all arms make as many."""
        each = [
            Stage(
                replaced=k,
                # As in the paper, without curriculum all thoughts are there from the start.
                thoughts=k * self.per_step if arm.has_thoughts else 0,
                feeds_states=arm.feeds_states,
            )
            for k in range(1, self.stages + 1)
        ]
        if arm.has_curriculum:
            return tuple((stage, self.steps) for stage in each)
        return ((each[-1], self.steps * self.stages),)


PRESETS = {
    "tiny": Sizes(
        scratch=True, arms="coconut,pause", problems=48, held_out=12, judged=16, batch=8,
        layers=2, width=32, heads=2, writing=12, stages=3, steps=4,
        writing_rate=3e-3, rate=2e-3,
    ),
    "cpu": Sizes(
        scratch=True, arms="coconut,pause,no-thought,no-curriculum", problems=12_000,
        held_out=200, judged=500, batch=32, writing=1200, stages=3, steps=400,
        writing_rate=1.5e-3, rate=1e-3,
    ),
    "gpu": Sizes(
        scratch=False, arms="coconut,pause,no-thought,no-curriculum", problems=15_000,
        held_out=200, judged=500, batch=32, rank=16, writing=1500, stages=6, steps=600,
        writing_rate=4e-4, rate=2e-4,
    ),
}  # fmt: skip
