"""Presets of the sentence recipe for three amounts of compute."""

from dataclasses import dataclass

from workbench.training.loop import Plan
from workbench.training.presets import NetworkPreset


@dataclass(frozen=True, kw_only=True)
class SentencePreset(NetworkPreset):
    """`writing`, `embedding` and `prediction` are the steps of the three stages.

    The rates are their highest learning rates.
    """

    writing: int
    embedding: int
    prediction: int
    writing_rate: float
    embedding_rate: float
    prediction_rate: float

    def plan_of(self, stage: str, n_rows: int) -> Plan:
        """Return the steps of one stage."""
        sizes = vars(self)
        return self.plan(sizes[stage], sizes[f"{stage}_rate"], n_rows)


PRESETS = {
    "tiny": SentencePreset(
        scratch=True, problems=48, held_out=12, batch=8, layers=2, width=32, heads=2,
        writing=12, embedding=8, prediction=8,
        writing_rate=3e-3, embedding_rate=2e-3, prediction_rate=2e-3,
    ),
    "cpu": SentencePreset(
        scratch=True, problems=4500, held_out=200, batch=32,
        writing=1600, embedding=800, prediction=1200,
        writing_rate=1.5e-3, embedding_rate=1e-3, prediction_rate=1e-3,
    ),
    "gpu": SentencePreset(
        scratch=False, problems=15_000, held_out=200, batch=32, rank=16,
        writing=2400, embedding=2400, prediction=3600,
        writing_rate=4e-4, embedding_rate=4e-4, prediction_rate=4e-4,
    ),
}  # fmt: skip
