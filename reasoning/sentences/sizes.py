"""Sizes of the sentence recipe for three amounts of compute."""

from dataclasses import dataclass, fields, replace
from typing import Any

from workbench.training.adapter import LoraShape
from workbench.training.loop import Plan
from workbench.training.scratch import ScratchShape


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is drawn and trained.

    `writing`, `embedding` and `prediction` are the steps of the three stages, each of `batch`
    problems; the rates are their highest learning rates. `rank` 0 trains all weights, otherwise
    adapters of that rank. `layers`, `width` and `heads` shape a network trained from nothing.
    """

    scratch: bool
    problems: int
    held_out: int
    batch: int
    writing: int
    embedding: int
    prediction: int
    writing_rate: float
    embedding_rate: float
    prediction_rate: float
    layers: int = 4
    width: int = 128
    heads: int = 4
    rank: int = 0

    def with_options(self, recipe: Any, limit: int | None) -> "Sizes":
        """Return these sizes with what a recipe sets on top; `limit` bounds the problems."""
        names = [f.name for f in fields(self) if getattr(recipe, f.name, None) is not None]
        given = {name: getattr(recipe, name) for name in names}
        if limit is not None:
            given.setdefault("problems", limit)
        return replace(self, **given)

    def plan(self, stage: str, n_rows: int) -> Plan:
        """Return the steps of one stage."""
        steps: int = getattr(self, stage)
        return Plan(
            steps=steps,
            rows_per_step=min(self.batch, n_rows),
            learning_rate=getattr(self, f"{stage}_rate"),
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


PRESETS = {
    "tiny": Sizes(
        scratch=True, problems=48, held_out=12, batch=8, layers=2, width=32, heads=2,
        writing=12, embedding=8, prediction=8,
        writing_rate=3e-3, embedding_rate=2e-3, prediction_rate=2e-3,
    ),
    "cpu": Sizes(
        scratch=True, problems=4500, held_out=200, batch=32,
        writing=1600, embedding=800, prediction=1200,
        writing_rate=1.5e-3, embedding_rate=1e-3, prediction_rate=1e-3,
    ),
    "gpu": Sizes(
        scratch=False, problems=15_000, held_out=200, batch=32, rank=16,
        writing=2400, embedding=2400, prediction=3600,
        writing_rate=4e-4, embedding_rate=4e-4, prediction_rate=4e-4,
    ),
}  # fmt: skip
