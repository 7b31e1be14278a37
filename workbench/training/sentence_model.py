"""What sentence reasoning needs beside a model: its codec and its latent model, from one folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch

from workbench.errors import ModelError
from workbench.model.model import Model
from workbench.sampling.flops import Size
from workbench.training.adapter import LoraShape
from workbench.training.checkpoint import Checkpoint, Manifest
from workbench.training.codec import Known, SentenceCodec, Space
from workbench.training.latent import LatentHeads, LatentModel
from workbench.training.network import Network, tuning
from workbench.training.shipped import open_checkpoint, place_of, ready_model

RECIPE = "sentence-chain"
WRITER, CODEC, LATENT, HEADS, KNOWN = "writer.", "codec.", "latent.", "heads.", "known"


@dataclass(frozen=True, kw_only=True, eq=False)
class SentenceModel:
    """A codec and a latent model trained on top of one model.

    `writer` is the model that writes chains in words: the model itself, or an adapter on it.
    `answer_ids` are the ids that answer sentences, and no others, begin with; `lead` is the text
    that asks the writer for an answer without a chain. `codec_size` and `latent_size` count the
    operations of the two networks.
    """

    writer: Model
    codec: SentenceCodec
    latent: LatentModel
    codec_size: Size
    latent_size: Size
    manifest: Manifest

    @property
    def answer_ids(self) -> frozenset[int]:
        """The ids that answer sentences begin with."""
        return frozenset(self.manifest.options.get("answer_ids", ()))

    @property
    def lead(self) -> str:
        """The text that asks for the answer at once."""
        return str(self.manifest.options.get("lead", ""))


def open_sentences(model: Model, folder: str = "") -> SentenceModel:
    """Return what a folder holds for a model, found as `place_of` and `open_checkpoint` say."""
    what = "pair of sentence codec and latent model"
    train = f"`workbench train {RECIPE}`, then --model with the folder it names"
    return _opened(
        model, place_of(model, folder, RECIPE, what=what, hint=ready_model(RECIPE) + train)
    )


@lru_cache(maxsize=2)
def _opened(model: Model, folder: Path) -> SentenceModel:
    found = open_checkpoint(model, folder, RECIPE)
    options, tensors = found.manifest.options, found.tensors
    codec, latent = (_tuned(model, found, prefix) for prefix in (CODEC, LATENT))
    known = Known(texts=tuple(options.get(KNOWN, ())), vectors=tensors[KNOWN].float())
    heads = LatentHeads.restore(found.part(HEADS), model.spec.d_model).to(model.device)
    return SentenceModel(
        writer=_writer(model, found),
        codec=SentenceCodec(codec, model.tokenizer, cast(Space, options["space"]), known),
        latent=LatentModel(latent, heads),
        codec_size=Size.of(codec.module, model.spec),
        latent_size=Size.of(latent.module, model.spec),
        manifest=found.manifest,
    )


def _tuned(model: Model, found: Checkpoint, prefix: str) -> Network:
    tensors = found.part(prefix)
    if not tensors:
        raise ModelError(f"the checkpoint holds no {prefix.rstrip('.')}", hint="train it again")
    suffix = f"{prefix}{found.manifest.weights_hash[:12]}"
    grown = tuning(model, _lora(found), generator=torch.Generator(), suffix=suffix)
    grown.load({name: tensor.to(model.device) for name, tensor in tensors.items()})
    return Network(grown.module).freeze()


def _writer(model: Model, found: Checkpoint) -> Model:
    from workbench.training.adapter import Adapter

    if not found.part(WRITER):
        return model
    return Adapter.restore(model, found, prefix=WRITER).model


def _lora(found: Checkpoint) -> LoraShape | None:
    shape: Mapping[str, Any] | None = found.manifest.options.get("adapter")
    return None if shape is None else LoraShape(**shape)
