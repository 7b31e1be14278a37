"""Presets of the contrastive recipes for three amounts of compute."""

from dataclasses import dataclass
from typing import ClassVar

from workbench.training.loop import Plan
from workbench.training.presets import Preset


@dataclass(frozen=True, kw_only=True)
class ContrastPreset(Preset):
    """How much is drawn and trained.

    `questions` are drawn for training and `samples` responses to each; `held_out` other
    questions evaluate what was trained. `rank` is that of the adapters, `batch` the responses
    or pairs of a step, `at_once` the rows of one forward pass.
    """

    limited: ClassVar[str] = "questions"

    questions: int
    samples: int
    held_out: int
    rank: int
    dropout: float
    learning_rate: float
    warmup: int
    epochs: int
    batch: int
    at_once: int

    @property
    def with_gradients(self) -> int:
        """The rows of a pass with gradients, which keeps about four times as much."""
        return max(1, self.at_once // 4)

    def plan(self, n_rows: int) -> Plan:
        """Return the steps that pass `epochs` times over the rows."""
        batch = min(self.batch, n_rows)
        steps = max(1, n_rows * self.epochs // batch)
        return Plan(
            steps=steps,
            rows_per_step=batch,
            learning_rate=self.learning_rate,
            warmup=min(self.warmup, steps // 4),
            clip=1.0,
            save_every=max(1, steps // 6),
            validate_every=max(1, steps // 6),
        )


_TINY = ContrastPreset(
    questions=12, samples=8, held_out=8, rank=2, dropout=0.0,
    learning_rate=1e-3, warmup=1, epochs=1, batch=4, at_once=16,
)  # fmt: skip
ESTIMATE = {
    "tiny": _TINY,
    "cpu": ContrastPreset(
        questions=120, samples=16, held_out=0, rank=4, dropout=0.1,
        learning_rate=1e-3, warmup=4, epochs=2, batch=6, at_once=64,
    ),
    "gpu": ContrastPreset(
        questions=7500, samples=64, held_out=0, rank=8, dropout=0.1,
        learning_rate=3e-4, warmup=100, epochs=1, batch=6, at_once=256,
    ),
}  # fmt: skip
PREFERENCE = {
    "tiny": _TINY,
    "cpu": ContrastPreset(
        questions=120, samples=16, held_out=400, rank=4, dropout=0.0,
        learning_rate=3e-4, warmup=4, epochs=3, batch=8, at_once=64,
    ),
    "gpu": ContrastPreset(
        questions=7500, samples=64, held_out=1319, rank=16, dropout=0.0,
        learning_rate=4e-5, warmup=280, epochs=3, batch=8, at_once=256,
    ),
}  # fmt: skip
