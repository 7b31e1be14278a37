"""What decides the size of a training run: problems, batch, and the network it trains."""

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from workbench.training.adapter import LoraShape
from workbench.training.loop import Plan
from workbench.training.scratch import ScratchShape

Chosen = TypeVar("Chosen", bound="TrainingSizes")


@dataclass(frozen=True, kw_only=True)
class TrainingSizes:
    """How much is drawn, and what is trained on it.

    `scratch` trains a network from nothing, shaped by `layers`, `width` and `heads`. `problems`
    are learned from, `held_out` choose the weights, `batch` make a step. `rank` 0 trains all
    weights, otherwise adapters of that rank.
    """

    scratch: bool
    problems: int
    held_out: int
    batch: int
    layers: int = 4
    width: int = 128
    heads: int = 4
    rank: int = 0

    def with_options(self: Chosen, recipe: Any, limit: int | None) -> Chosen:
        """Return these sizes with what a recipe sets on top; `limit` bounds the problems."""
        names = [f.name for f in fields(self) if getattr(recipe, f.name, None) is not None]
        given = {name: getattr(recipe, name) for name in names}
        if limit is not None:
            given.setdefault("problems", limit)
        return replace(self, **given)

    def plan_of(self, steps: int, rate: float, n_rows: int) -> Plan:
        """Return so many steps at that highest learning rate, looked at sixteen times."""
        return Plan(
            steps=steps,
            rows_per_step=min(self.batch, n_rows),
            learning_rate=rate,
            warmup=min(50, steps // 5),
            weight_decay=0.01,
            clip=1.0,
            save_every=max(1, steps // 16),
            validate_every=max(1, steps // 16),
        )

    @property
    def shape(self) -> ScratchShape:
        """The shape of a network trained from nothing."""
        return ScratchShape(layers=self.layers, width=self.width, heads=self.heads)

    @property
    def lora(self) -> LoraShape | None:
        """The shape of the adapters, None when all weights train."""
        return LoraShape(rank=self.rank, alpha=2.0 * self.rank, part="both") if self.rank else None
