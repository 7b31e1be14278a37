"""A model trained to think in continuous thoughts, from one folder."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ModelError
from workbench.latent.thoughts import Fed, Marks, ThoughtInput
from workbench.model.model import Model
from workbench.model.wrap import wrap_model
from workbench.training.adapter import Adapter
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.lines import Lines
from workbench.training.network import Tuning, tuning
from workbench.training.shipped import open_checkpoint, place_of, ready_model

RECIPE = "coconut"
NETWORK, MARKS = "network.", "marks."


@dataclass(frozen=True, kw_only=True, eq=False)
class CoconutModel:
    """The trained weights as a model, the marks around its thoughts, and how many there are."""

    model: Model
    marks: Marks
    lines: Lines
    manifest: Manifest

    @property
    def n(self) -> int:
        """The number of thoughts it was trained with."""
        return int(self.manifest.options["thoughts"])

    def inputs(
        self,
        n: int | None = None,
        *,
        fed: Fed = "state",
        only: int | None = None,
        given: Float[Tensor, "batch n d_model"] | None = None,
    ) -> ThoughtInput:
        """Return what it feeds; `n` thoughts in place of the number trained."""
        return ThoughtInput(
            marks=self.marks,
            n=self.n if n is None else n,
            is_pause=not self.manifest.options["feeds_states"],
            fed=fed,
            only=only,
            given=given,
            ends=(self.lines.end,),
        )


def coconut_tensors(weights: Tuning, marks: Marks) -> dict[str, Tensor]:
    """Return what a checkpoint keeps."""
    kept = {MARKS + name: vector.detach().clone() for name, vector in marks.tensors().items()}
    return {**weights.tensors(NETWORK), **kept}


def open_coconut(model: Model, folder: str = "") -> CoconutModel:
    """Return what a folder holds for a model, found as `place_of` and `open_checkpoint` say."""
    what = "model that thinks in continuous thoughts"
    train = f"`workbench train {RECIPE}`, then --checkpoint with the folder it names"
    hint = ready_model(RECIPE) + train
    return _opened(model, place_of(model, folder, RECIPE, what=what, hint=hint, beside=_around))


def _around(weights: Path) -> tuple[Path, ...]:
    return weights, weights.parent, weights.parent / RECIPE


@lru_cache(maxsize=2)
def _opened(model: Model, folder: Path) -> CoconutModel:
    found = open_checkpoint(model, folder, RECIPE)
    missing = sorted({MARKS + n for n in ("begin", "end", "pause")} - set(found.tensors))
    if missing:
        raise ModelError(f"{folder} lacks {', '.join(missing)}", hint="train it again")
    return CoconutModel(
        model=_thinker(model, found),
        marks=Marks(**{
            n: found.tensors[MARKS + n].float().to(model.device) for n in ("begin", "end", "pause")
        }),
        lines=Lines(model.tokenizer),
        manifest=found.manifest,
    )  # fmt: skip


def _thinker(model: Model, found: Checkpoint) -> Model:
    shape = found.manifest.options.get("adapter")
    if shape is not None:
        return Adapter.restore(model, found, prefix=NETWORK).model
    grown = tuning(model, None, generator=torch.Generator(), suffix=RECIPE)
    grown.load({n: t.float().to(model.device) for n, t in found.part(NETWORK).items()})
    return as_model(grown, model)


def as_model(weights: Tuning, base: Model) -> Model:
    """Return tuned weights as a model that runs, generates and is hooked like any other."""
    if isinstance(weights, Adapter):
        return weights.model
    module = weights.module.requires_grad_(False)
    return wrap_model(module, base.tokenizer, name=f"{base.spec.name} + {RECIPE}")
