"""What decides how long a training run takes: presets for three amounts of compute."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, TypeVar

from workbench.options import option
from workbench.training.adapter import LoraShape
from workbench.training.loop import Plan
from workbench.training.scratch import ScratchShape

ChosenT = TypeVar("ChosenT", bound="Preset")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The sizes of a recipe for one amount of compute; `limited` is what a limit bounds."""

    limited: ClassVar[str] = "problems"

    def with_options(self: ChosenT, recipe: Any, limit: int | None = None) -> ChosenT:
        """Return these sizes with what a recipe sets on top."""
        names = {f.name for f in fields(self)}
        given = {n: v for n, v in vars(recipe).items() if n in names and v is not None}
        if limit is not None:
            given.setdefault(self.limited, limit)
        return replace(self, **given)


def lora_shape(rank: int, **more: Any) -> LoraShape:
    """Return the shape of adapters on all projections, scaled by twice their rank."""
    return LoraShape(**{"rank": rank, "alpha": 2.0 * rank, "part": "both", **more})


@dataclass(frozen=True, kw_only=True)
class ScratchPreset(Preset):
    """How large a network from nothing is and how long it trains; `judged` rows judge it.

    The schedule is validated and saved twenty times.
    """

    limited: ClassVar[str] = "judged"

    layers: int
    width: int
    heads: int
    batch: int
    steps: int
    held_out: int
    judged: int
    learning_rate: float

    @property
    def plan(self) -> Plan:
        """The schedule."""
        steps, rows, rate = self.steps, self.batch, self.learning_rate
        return Plan.looked_at(20, steps=steps, rows=rows, rate=rate, warmup=100, weight_decay=0.01)

    def shape(self, positions: int) -> ScratchShape:
        """Return the shape of a network that reads so many tokens."""
        return ScratchShape(
            layers=self.layers, width=self.width, heads=self.heads, positions=positions
        )


@dataclass(frozen=True, kw_only=True)
class ScratchOptions:
    """What a recipe that trains a network from nothing lets its user set."""

    preset: Literal["tiny", "cpu", "gpu"] = option("cpu", help="Sizes for that much compute.")
    layers: int | None = option(None, help="Layers of the network.", low=1, high=100)
    width: int | None = option(None, help="Width of the network.", low=4, high=4096)
    heads: int | None = option(None, help="Attention heads of a layer.", low=1, high=256)
    batch: int | None = option(None, help="Sequences of a step.", low=1, high=10**6)
    steps: int | None = option(None, help="Training steps.", low=1, high=10**8)
    held_out: int | None = option(None, help="Sequences to choose weights by.", low=2, high=10**6)
    judged: int | None = option(None, help="Sequences to judge by.", low=2, high=10**6)
    learning_rate: float | None = option(None, help="Highest learning rate.", low=1e-9, high=1)
    half: bool = option(True, help="Store the weights in 16 bits.")


@dataclass(frozen=True, kw_only=True)
class NetworkPreset(Preset):
    """How much is drawn, and what network is trained on it.

    `scratch` trains a network from nothing, shaped by `layers`, `width` and `heads`, its matrices
    drawn with a standard deviation of `init_std`. `problems` are learned from, `held_out` choose
    the weights, `batch` make a step. `rank` 0 trains all weights, otherwise adapters of that rank.
    """

    scratch: bool
    problems: int
    held_out: int
    batch: int
    layers: int = 4
    width: int = 128
    heads: int = 4
    rank: int = 0
    init_std: float = 0.02

    def plan(self, steps: int, rate: float, n_rows: int) -> Plan:
        """Return so many steps at that highest learning rate, validated sixteen times."""
        rows = min(self.batch, n_rows)
        return Plan.looked_at(16, steps=steps, rows=rows, rate=rate, warmup=50, weight_decay=0.01)

    @property
    def evaluated(self) -> int:
        """The number of problems to evaluate on; 0: those to choose by."""
        return 0

    @property
    def shape(self) -> ScratchShape:
        """The shape of a network trained from nothing."""
        return ScratchShape(
            layers=self.layers, width=self.width, heads=self.heads, init_std=self.init_std
        )

    @property
    def lora(self) -> LoraShape | None:
        """The shape of the adapters, None when all weights train."""
        return lora_shape(self.rank) if self.rank else None
