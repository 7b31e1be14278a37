"""What a codec can neither read nor write: no words, and vectors without a direction."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import DataError, NotFinite

_NAMED = 10


def check_sentences(sentences: Sequence[str]) -> None:
    """Refuse sentences without a word: a codec would make a vector of nothing.

    Raises:
        DataError: some are empty or blank.
    """
    empty = [i for i, text in enumerate(sentences) if not text.strip()]
    if empty:
        raise DataError(
            f"sentences {_told(empty)} of {len(sentences)} hold no word, so no vector stands for "
            "them",
            hint="leave them out",
        )


def check_vectors(vectors: Float[Tensor, "batch d_model"]) -> None:
    """Refuse vectors that stand for no sentence: a decoder would write one all the same.

    Raises:
        NotFinite: some hold NaN or infinite numbers.
        DataError: some have length zero, and so no direction.
    """
    if not len(vectors):
        return
    largest = vectors.detach().abs().amax(dim=-1)
    strange = torch.nonzero(~torch.isfinite(largest)).flatten().tolist()
    if strange:
        raise NotFinite(
            f"vectors {_told(strange)} of {len(vectors)} hold NaN or infinite numbers, so no "
            "sentence stands behind them",
            hint="look at where they come from; --dtype float32 where half precision overflows",
        )
    zero = torch.nonzero(largest == 0).flatten().tolist()
    if zero:
        raise DataError(
            f"vectors {_told(zero)} of {len(vectors)} have length zero, so no direction and no "
            "sentence",
            hint="leave them out",
        )


def _told(rows: Sequence[int]) -> str:
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f"{list(rows[:_NAMED])}{more}"
