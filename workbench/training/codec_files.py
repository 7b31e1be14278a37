"""A sentence codec as a folder: found beside a name, or among those that ship."""

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from workbench.errors import ModelError
from workbench.model.model import Model
from workbench.training.adapter import Adapter, LoraShape
from workbench.training.checkpoint import read_manifest
from workbench.training.codec import Known
from workbench.training.lora_codec import LoraCodec
from workbench.training.network import Network
from workbench.training.shipped import find_checkpoint, open_checkpoint, shipped_checkpoints

RECIPE = "sentence-codec"
ENCODER, DECODER, KNOWN = "encoder.", "decoder.", "known"


def fresh_adapters(
    model: Model, shape: LoraShape, *, generator: torch.Generator
) -> dict[str, Adapter]:
    """Return an adapter that is to read and one that is to write, both still without effect."""
    return {
        side: Adapter(model, shape, generator=generator, suffix=f"{RECIPE} {side.rstrip('.')}")
        for side in (ENCODER, DECODER)
    }


def joined(model: Model, adapters: dict[str, Adapter], known: Known | None = None) -> LoraCodec:
    """Return the codec that two adapters make."""
    encoder, decoder = (Network(adapters[side].module) for side in (ENCODER, DECODER))
    return LoraCodec(encoder, decoder, model.tokenizer, known)


def codec_tensors(adapters: dict[str, Adapter], known: Known) -> dict[str, Tensor]:
    """Return what a checkpoint holds of a codec; the known sentences go into its manifest."""
    tensors = {n: t for side, adapter in adapters.items() for n, t in adapter.tensors(side).items()}
    return {**tensors, KNOWN: known.vectors}


def open_codec(model: Model, folder: str = "") -> LoraCodec:
    """Return the codec of a folder, or the one that ships for a model.

    Raises:
        ModelNotFound: no folder was named and none ships for this model.
        ModelError: it belongs to another model, or is damaged.
    """
    return _opened(model, Path(folder).expanduser() if folder else _shipped(model))


def has_codec(model: Model) -> bool:
    """Whether a codec ships for a model."""
    return any(
        read_manifest(place).base_hash == model.spec.weights_hash
        for place in shipped_checkpoints(RECIPE)
    )


@lru_cache(maxsize=2)
def _opened(model: Model, folder: Path) -> LoraCodec:
    found = open_checkpoint(model, folder, RECIPE)
    adapters = {side: Adapter.restore(model, found, prefix=side) for side in (ENCODER, DECODER)}
    vectors, texts = found.tensors.get(KNOWN), found.manifest.options.get(KNOWN, ())
    if vectors is None or len(vectors) != len(texts):
        raise ModelError(
            f"{folder} names {len(texts)} known sentences and holds "
            f"{0 if vectors is None else len(vectors)} vectors of them",
            hint="train it again",
        )
    codec = joined(model, adapters, Known(texts=tuple(texts), vectors=vectors.float()))
    codec.encoder.freeze()
    codec.decoder.freeze()
    return codec


def _shipped(model: Model) -> Path:
    hint = f"`workbench train {RECIPE}`, then give the folder it names with --codec"
    return find_checkpoint(model.spec, RECIPE, what="sentence codec", hint=hint)
