"""Questions and sentences as token ids, whatever the tokenizer makes of line breaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.errors import Unsupported
from workbench.model.tokens import token_ids
from workbench.sampling.rendering import text_ids

_KEPT = 2**16


@dataclass(frozen=True, kw_only=True)
class Worked:
    """One problem for training: the question and its sentences, the last with the answer."""

    question: str
    sentences: tuple[str, ...]


class Lines:
    """Turns text into ids part by part, so that the line break is a token of its own.

    Tokenizers that merge a full stop with the line break after it, or two line breaks, never see
    them together.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Find the tokenizer's line break.

        Raises:
            Unsupported: it has none.
        """
        self.tokenizer = tokenizer
        ids = tokenizer("\n", add_special_tokens=False)["input_ids"]
        if not ids or "\n" not in tokenizer.decode([ids[-1]]):
            raise Unsupported(
                "the tokenizer has no line break, which separates sentences",
                hint="use a model whose tokenizer keeps line breaks",
            )
        self.newline = int(ids[-1])
        # A training asks for the same texts in every epoch.
        self._asked = lru_cache(_KEPT)(partial(text_ids, tokenizer))
        self._written = lru_cache(_KEPT)(partial(token_ids, tokenizer, special_tokens=False))

    @cached_property
    def end(self) -> int:
        """The id that ends a text."""
        return end_id(self.tokenizer)

    @property
    def pad(self) -> int:
        """An id that fills rows; it is always masked."""
        return int(self.tokenizer.pad_token_id or 0)

    def question(self, text: str) -> list[int]:
        """Return the ids of a question and the line break after it."""
        return [*self._asked(text), self.newline]

    def sentence(self, text: str) -> list[int]:
        """Return the ids of a sentence and the line break that ends it."""
        flat = " ".join(text.split())
        return [*self._written(flat), self.newline]

    def prefix(self, question: str, sentences: Sequence[str]) -> list[int]:
        """Return the ids of a question and the sentences after it."""
        return self.question(question) + [i for text in sentences for i in self.sentence(text)]

    def closed(self, ids: Sequence[int]) -> list[int]:
        """Return written ids with exactly one line break at their end."""
        return [*(i for i in ids if i not in (self.newline, self.end)), self.newline]

    def text(self, ids: Sequence[int]) -> str:
        """Return written ids as text, without the line break and the end."""
        kept = self.closed(ids)[:-1]
        return str(self.tokenizer.decode(kept, skip_special_tokens=False)).strip("\n")


def block(
    rows: Sequence[Sequence[int]], pad: int
) -> tuple[Int[Tensor, "batch pos"], Bool[Tensor, "batch pos"]]:
    """Return rows of ids as one tensor, padded on the right, with its mask."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(list(row), dtype=torch.long)
        mask[i, : len(row)] = True
    return ids, mask


def common_start(rows: Sequence[Sequence[int]]) -> list[int]:
    """Return the ids that all rows begin with."""
    shared: list[int] = []
    for column in zip(*rows, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return shared


def end_id(tokenizer: Any) -> int:
    """Return the id of the token that ends a text.

    Raises:
        Unsupported: the tokenizer has none.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise Unsupported(
            "the tokenizer has no token that ends a text", hint="set tokenizer.eos_token"
        )
    return int(end)
