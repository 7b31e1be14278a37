"""A pooled codec as a folder: what it holds, and how it is opened."""

from functools import lru_cache
from pathlib import Path

from torch import Tensor

from workbench.errors import ModelError
from workbench.model.model import Model
from workbench.training.checkpoint import Checkpoint
from workbench.training.codec import Known
from workbench.training.place_codes import NAMES
from workbench.training.pooled_codec import PooledCodec
from workbench.training.shipped import open_checkpoint, place_of

RECIPE = "pooled-codec"
KNOWN = "known"
_HINT = f"`workbench train {RECIPE} --data texts.txt`, then name the folder it gives"


def open_pooled_codec(model: Model, folder: str = "") -> PooledCodec:
    """Return the pooled codec of a folder, or the one that ships for a model.

    Raises:
        ModelNotFound: no folder was named and none ships for this model.
        ModelError: it belongs to another model, or is damaged.
    """
    return _opened(model, place_of(model, folder, RECIPE, what="pooled codec", hint=_HINT))


@lru_cache(maxsize=2)
def _opened(model: Model, folder: Path) -> PooledCodec:
    return restored(model, open_checkpoint(model, folder, RECIPE))


def restored(model: Model, found: Checkpoint) -> PooledCodec:
    """Return the codec that a checkpoint holds.

    Raises:
        ModelError: weights are missing, or known sentences and vectors differ in number.
    """
    tensors, texts = found.tensors, tuple(found.manifest.options.get(KNOWN, ()))
    missing = {*NAMES, KNOWN} - set(tensors)
    if missing or len(tensors[KNOWN]) != len(texts):
        raise ModelError(
            f"the pooled codec lacks {', '.join(sorted(missing)) or 'vectors of known sentences'}",
            hint="train it again",
        )
    weights: dict[str, Tensor] = {n: tensors[n].float().to(model.device) for n in NAMES}
    known = Known(texts=texts, vectors=tensors[KNOWN].float())
    return PooledCodec(model.backend.module, model.tokenizer, weights, known)
