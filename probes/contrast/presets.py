"""Sizes of the contrastive recipes for three amounts of compute."""

from dataclasses import dataclass, fields, replace
from typing import Any

from workbench.training.loop import Plan


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is drawn and trained.

    `questions` are drawn for training and `samples` responses to each; `held_out` other
    questions judge what was trained. `rank` and `alpha` are those of the adapters, `batch` the
    responses or pairs of a step, `at_once` the rows of one forward pass.
    """

    questions: int
    samples: int
    held_out: int
    rank: int
    alpha: float
    dropout: float
    learning_rate: float
    warmup: int
    epochs: int
    batch: int
    at_once: int

    def with_options(self, recipe: Any, limit: int | None) -> "Sizes":
        """Return these sizes with what a recipe sets on top; `limit` bounds the questions.

        The update of an adapter keeps its scale when only the rank is set.
        """
        names = [f.name for f in fields(self) if getattr(recipe, f.name, None) is not None]
        given = {name: getattr(recipe, name) for name in names}
        if limit is not None:
            given.setdefault("questions", limit)
        if "rank" in given:
            given["alpha"] = self.alpha / self.rank * given["rank"]
        return replace(self, **given)

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


_TINY = Sizes(
    questions=12, samples=8, held_out=8, rank=2, alpha=4.0, dropout=0.0,
    learning_rate=1e-3, warmup=1, epochs=1, batch=4, at_once=16,
)  # fmt: skip
ESTIMATE = {
    "tiny": _TINY,
    "cpu": Sizes(
        questions=120, samples=16, held_out=0, rank=4, alpha=8.0, dropout=0.1,
        learning_rate=1e-3, warmup=4, epochs=2, batch=6, at_once=64,
    ),
    "gpu": Sizes(
        questions=7500, samples=64, held_out=0, rank=8, alpha=16.0, dropout=0.1,
        learning_rate=3e-4, warmup=100, epochs=1, batch=6, at_once=256,
    ),
}  # fmt: skip
PREFERENCE = {
    "tiny": _TINY,
    "cpu": Sizes(
        questions=120, samples=16, held_out=400, rank=4, alpha=8.0, dropout=0.0,
        learning_rate=3e-4, warmup=4, epochs=3, batch=8, at_once=64,
    ),
    "gpu": Sizes(
        questions=7500, samples=64, held_out=1319, rank=16, alpha=32.0, dropout=0.0,
        learning_rate=4e-5, warmup=280, epochs=3, batch=8, at_once=256,
    ),
}  # fmt: skip
