"""Presets of the codec recipe for three amounts of compute, and how many steps fit into a time."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from workbench.errors import StoreError
from workbench.methods.contracts import Context
from workbench.training.adapter import LoraShape
from workbench.training.checkpoint import write_whole
from workbench.training.loop import Objective, Plan, rows_of_step
from workbench.training.presets import Preset, lora_shape

PACE = "pace.json"
_TIMED, _SHARE, _LEAST = 4, 0.92, 10


@dataclass(frozen=True, kw_only=True)
class CodecPreset(Preset):
    """How much is read and trained.

    `drawn` problems of each task and all texts give the sentences; `judged` held-out ones of
    each family are evaluated. `batch` sentences make a step, `at_once` positions one pass.
    """

    steps: int
    batch: int
    rank: int
    learning_rate: float
    drawn: int
    judged: int
    known: int
    at_once: int

    @property
    def lora(self) -> LoraShape:
        """The shape of each of the two adapters."""
        return lora_shape(self.rank)

    def plan(self, n_rows: int) -> Plan:
        """Return the steps."""
        return Plan(
            steps=self.steps,
            rows_per_step=min(self.batch, n_rows),
            learning_rate=self.learning_rate,
            warmup=min(100, self.steps // 10),
            betas=(0.9, 0.98),
            clip=1.0,
            save_every=max(1, self.steps // 8),
            validate_every=max(1, self.steps // 16),
        )


PRESETS = {
    "tiny": CodecPreset(
        steps=12, batch=8, rank=2, learning_rate=2e-3, drawn=8, judged=6, known=16, at_once=512
    ),
    "cpu": CodecPreset(
        steps=360, batch=24, rank=12, learning_rate=1.5e-3, drawn=1500, judged=400, known=768,
        at_once=1024,
    ),
    "gpu": CodecPreset(
        steps=4000, batch=128, rank=12, learning_rate=1.5e-3, drawn=4000, judged=600, known=768,
        at_once=16_384,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PooledPreset(Preset):
    """How much is read and trained; as for `CodecPreset`, without an adapter."""

    steps: int
    batch: int
    learning_rate: float
    drawn: int
    judged: int
    known: int
    at_once: int

    def plan(self, n_rows: int) -> Plan:
        """Return the steps."""
        rows, rate = min(self.batch, n_rows), self.learning_rate
        return Plan.looked_at(8, steps=self.steps, rows=rows, rate=rate, warmup=20)


POOLED_PRESETS = {
    "tiny": PooledPreset(
        steps=4, batch=8, learning_rate=2e-3, drawn=8, judged=6, known=16, at_once=512
    ),
    "cpu": PooledPreset(
        steps=240, batch=32, learning_rate=2e-3, drawn=1500, judged=150, known=768, at_once=1024
    ),
    "gpu": PooledPreset(
        steps=4000, batch=256, learning_rate=2e-3, drawn=4000, judged=600, known=768,
        at_once=16_384,
    ),
}  # fmt: skip


def steps_within(seconds: float, objective: Objective, rows_per_step: int, context: Context) -> int:
    """Return how many steps fit into a time, timed once and kept in the folder.

    The first step warms up and does not count; nothing is trained. A run that goes on keeps the
    number, so that it repeats the losses of an uninterrupted one.
    """
    path = context.folder / PACE
    if path.is_file() and context.resume:
        return _read(path)
    weights = list(objective.parameters().values())
    clock = time.perf_counter()
    for step in range(_TIMED + 1):
        if step == 1:
            clock = time.perf_counter()
        context.progress(step, _TIMED + 1, "steps timed")
        rows = rows_of_step(step, objective.n_rows, rows_per_step, context)
        for piece in objective.losses(rows, torch.Generator().manual_seed(step)):
            torch.autograd.grad(piece, weights, allow_unused=True)
            float(piece.detach())
    each = (time.perf_counter() - clock) / _TIMED
    steps = max(_LEAST, int(_SHARE * seconds / each))
    context.folder.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"steps": steps, "seconds_each": each}).encode())
    return steps


def _read(path: Path) -> int:
    try:
        return int(json.loads(path.read_bytes())["steps"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged: {error}", hint="start over without resuming"
        ) from error
