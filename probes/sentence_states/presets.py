"""Presets of the recipe of a sentence lens for four amounts of compute."""

from dataclasses import dataclass
from typing import ClassVar

from workbench.training.loop import Plan
from workbench.training.presets import Preset

_LEAST_STEPS = 20
_WEIGHT_DECAY = 0.05


@dataclass(frozen=True, kw_only=True)
class LensPreset(Preset):
    """How much is written, read and trained.

    The model writes `own` texts of at most `written` tokens. At most `texts` texts of a kind are
    learned from and `judged` of each kind judged. The readout says `words` words of at least
    `least` sentences, through maps of rank `rank`. A step reads `batch` sentences at `layers`
    layers; every sentence is read `epochs` times at a layer.
    """

    limited: ClassVar[str] = "texts"

    own: int
    written: int
    texts: int
    judged: int
    words: int
    least: int
    rank: int
    epochs: float
    batch: int
    layers: int
    bank: int
    learning_rate: float

    def plan(self, n_rows: int, n_layers: int) -> Plan:
        """Return the steps for so many sentences and layers; few sentences make small batches."""
        batch = max(1, min(self.batch, n_rows // _LEAST_STEPS))
        layers = min(self.layers, n_layers)
        steps = max(1, round(self.epochs * n_rows / batch * n_layers / layers))
        return Plan(
            steps=steps,
            rows_per_step=batch,
            learning_rate=self.learning_rate,
            weight_decay=_WEIGHT_DECAY,
            warmup=min(20, steps // 5),
            save_every=max(1, steps // 8),
            validate_every=max(1, steps // 8),
        )


PRESETS = {
    "tiny": LensPreset(
        own=6, written=8, texts=400, judged=60, words=200, least=2, rank=8, epochs=1.0,
        batch=32, layers=3, bank=200, learning_rate=1e-2,
    ),
    "quick": LensPreset(
        own=480, written=96, texts=5000, judged=150, words=4000, least=3, rank=256, epochs=3.0,
        batch=256, layers=6, bank=8000, learning_rate=4e-3,
    ),
    "cpu": LensPreset(
        own=480, written=96, texts=40_000, judged=400, words=4000, least=3, rank=288, epochs=3.0,
        batch=256, layers=6, bank=8000, learning_rate=4e-3,
    ),
    "gpu": LensPreset(
        own=40_000, written=128, texts=200_000, judged=600, words=6000, least=5, rank=320,
        epochs=5.0, batch=512, layers=10, bank=20_000, learning_rate=4e-3,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DecoderPreset(Preset):
    """How much is written, read and trained for the decoder of a lens.

    The model writes `own` texts of at most `written` tokens; at most `texts` of a kind are
    learned from and `judged` of each kind judged. About `layers` layers can be read. A share
    `adapted` of the blocks, the last ones, carries an adapter of rank `rank`. A share `bare` of
    the `batch` sentences of each of `steps` steps is learned without a state.
    """

    limited: ClassVar[str] = "texts"

    own: int
    written: int
    texts: int
    judged: int
    layers: int
    rank: int
    adapted: float
    bare: float
    steps: int
    batch: int
    learning_rate: float

    def first_block(self, n_layers: int) -> int:
        """Return the first block that carries the adapter."""
        return n_layers - max(1, round(self.adapted * n_layers))

    def plan(self, n_rows: int) -> Plan:
        """Return the steps for so many sentences."""
        return Plan(
            steps=self.steps,
            rows_per_step=min(self.batch, n_rows),
            learning_rate=self.learning_rate,
            betas=(0.9, 0.98),
            clip=1.0,
            warmup=min(20, self.steps // 5),
            save_every=max(1, self.steps // 20),
            validate_every=max(1, self.steps // 10),
        )


DECODER_PRESETS = {
    "tiny": DecoderPreset(
        own=6, written=8, texts=400, judged=20, layers=2, rank=2, adapted=0.5, bare=0.2,
        steps=6, batch=8, learning_rate=2e-3,
    ),
    "cpu": DecoderPreset(
        own=480, written=96, texts=40_000, judged=100, layers=5, rank=8, adapted=0.33, bare=0.2,
        steps=1500, batch=64, learning_rate=2e-3,
    ),
    "gpu": DecoderPreset(
        own=40_000, written=128, texts=200_000, judged=600, layers=10, rank=16, adapted=1.0,
        bare=0.2, steps=20_000, batch=256, learning_rate=1e-3,
    ),
}  # fmt: skip
