"""A trained gate and the adapter it was trained with, from one folder."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from workbench.latent.gate import Gate
from workbench.latent.inputs import GATE_WIDTH, GatedMixture, LatentInput, TokenInput
from workbench.model.model import Model
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.shipped import open_checkpoint, place_of

RECIPE = "hybrid"
ADAPTER, GATE = "adapter.", "gate."


@dataclass(frozen=True, kw_only=True, eq=False)
class HybridModel:
    """An adapted model with its gate; without one (trained on tokens only) tokens are fed."""

    model: Model
    gate: Gate | None
    manifest: Manifest

    @property
    def mark(self) -> str:
        """The delimiter that ends the thinking."""
        return str(self.manifest.options.get("mark", ""))

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end a response, as it was taught; they need not be the model's own."""
        return tuple(int(i) for i in self.manifest.options.get("end_ids", ()))

    @property
    def temperature(self) -> float:
        """The temperature of the distributions it was trained with."""
        return float(self.manifest.options.get("temperature", 1.0))

    def inputs(self, width: int | None = None) -> LatentInput:
        """Return the latent input it was trained with."""
        if self.gate is None:
            return TokenInput()
        trained = int(self.manifest.options.get("width", GATE_WIDTH))
        return GatedMixture(gate=self.gate, width=trained if width is None else width)


def hybrid_tensors(adapter: Adapter, gate: Gate | None) -> dict[str, Tensor]:
    """Return what a checkpoint keeps of an adapter and its gate."""
    kept = adapter.tensors(ADAPTER)
    if gate is not None:
        kept |= {GATE + n: p.detach().clone() for n, p in gate.named_parameters()}
    return kept


def open_hybrid(model: Model, folder: str = "") -> HybridModel:
    """Return what a folder holds for a model, found as `place_of` and `open_checkpoint` say."""
    train = f"`workbench train {RECIPE}`, then --checkpoint with the folder it names"
    hint = f"{train}; soft-thinking, moi and hidden-feedback need no training"
    place = place_of(model, folder, RECIPE, what="trained gate", hint=hint, beside=_around)
    return _opened(model, place)


def _around(weights: Path) -> tuple[Path, ...]:
    return weights, weights.parent


@lru_cache(maxsize=2)
def _opened(model: Model, folder: Path) -> HybridModel:
    found = open_checkpoint(model, folder, RECIPE)
    adapted = Checkpoint(manifest=found.manifest, tensors=found.part(ADAPTER))
    gate = found.part(GATE)
    return HybridModel(
        model=Adapter.restore(model, adapted).model,
        gate=Gate.restore(gate).to(model.device).requires_grad_(False) if gate else None,
        manifest=found.manifest,
    )
