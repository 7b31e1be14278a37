"""A batch of token ids with its mask, texts and character offsets."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.errors import BadOption, TooLittleData

Encoded = tuple[list[int], list[tuple[int, int]]]
"""Token ids and the (start, end) characters of each, empty where the tokenizer does not tell."""

_AT_ONCE = 1024  # texts of one call of a tokenizer


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """A padded batch; `mask` is true on real tokens.

    `offsets[i]` holds the (start, end) characters of each real token of text i; it is empty
    for ids that never were text. `padding` is the side that may be padded, where that is known.
    `host` is the same batch on the processor where it came from there, so that what is asked of
    masks and lengths does not wait for a device; a batch made by `replace` has none.
    """

    ids: Int[Tensor, "batch pos"]
    mask: Bool[Tensor, "batch pos"]
    texts: tuple[str, ...] = ()
    offsets: tuple[tuple[tuple[int, int], ...], ...] = ()
    padding: Literal["none", "left", "right"] | None = None
    host: "Tokens | None" = field(default=None, init=False, repr=False)

    @property
    def near(self) -> "Tokens":
        """The same batch where reading it costs least."""
        return self.host or self

    @property
    def padded_sides(self) -> tuple[Literal["left", "right"], ...]:
        """The sides on which some row is padded; a gap between tokens counts as both."""
        if self.padding is not None:
            return () if self.padding == "none" else (self.padding,)
        if not self.is_padded:
            return ()
        mask = self.near.mask
        first, last = bool(mask[:, 0].all()), bool(mask[:, -1].all())
        if first == last:
            return ("left", "right")
        return ("right",) if first else ("left",)

    @property
    def lengths(self) -> list[int]:
        """The number of real tokens in each row."""
        found: list[int] = self.near.mask.sum(dim=1).tolist()
        return found

    @property
    def is_padded(self) -> bool:
        """Whether any row is shorter than the batch."""
        return not bool(self.near.mask.all())

    @property
    def position_ids(self) -> Int[Tensor, "batch pos"]:
        """Positions counted over real tokens only, so that padding never shifts them."""
        return (self.mask.long().cumsum(dim=1) - 1).clamp(min=0)

    def row(self, index: int) -> list[int]:
        """Return the real token ids of one row."""
        near = self.near
        found: list[int] = near.ids[index][near.mask[index]].tolist()
        return found

    def left(self) -> "Tokens":
        """Return the same rows with all padding moved to the left and none to spare."""
        if self.host is not None:
            return self.host.left().to(self.ids.device)
        order = left_order(self.mask)
        return replace(
            self,
            ids=self.ids.gather(1, order),
            mask=self.mask.gather(1, order),
            padding="none" if self.padding == "none" else "left",
        )

    def take(self, rows: Sequence[int]) -> "Tokens":
        """Return the rows at those indices, in that order; one may be named more than once."""
        if self.host is not None:
            return self.host.take(rows).to(self.ids.device)
        return Tokens(
            ids=self.ids[list(rows)],
            mask=self.mask[list(rows)],
            texts=tuple(self.texts[i] for i in rows) if self.texts else (),
            offsets=tuple(self.offsets[i] for i in rows) if self.offsets else (),
            padding=self.padding,
        )

    def to(self, device: str | torch.device) -> "Tokens":
        """Return the batch on another device."""
        is_here, target = self.ids.device.type == "cpu", torch.device(device)
        if target == self.ids.device:
            return self
        if target.type == "cpu" and self.host is not None:
            return self.host
        moved = Tokens(
            ids=self.ids.to(device),
            mask=self.mask.to(device),
            texts=self.texts,
            offsets=self.offsets,
            padding=self.padding,
        )
        object.__setattr__(moved, "host", self if is_here else self.host)
        return moved


def left_order(mask: Bool[Tensor, "batch pos"]) -> Int[Tensor, "batch width"]:
    """Return the columns that move each row's padding to the left, in reading order."""
    width = int(mask.sum(dim=1).max())
    return mask.long().sort(dim=1, stable=True).indices[:, mask.shape[1] - width :]


def pad(
    rows: Sequence[Sequence[int]],
    *,
    pad_id: int = 0,
    side: Literal["left", "right"] = "right",
    texts: Sequence[str] = (),
    offsets: Sequence[Sequence[tuple[int, int]]] = (),
) -> Tokens:
    """Join rows of token ids into one batch.

    Raises:
        TooLittleData: there are no rows, or one of them is empty.
        BadOption: the side is neither left nor right.
    """
    if side not in ("left", "right"):
        raise BadOption(f"padding side is {side!r}; expected left or right")
    empty = [i for i, row in enumerate(rows) if not row]
    if not rows or empty:
        raise TooLittleData(
            f"rows {empty} hold no tokens" if rows else "no rows were given",
            hint="leave out empty texts",
        )
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        where = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[i, where] = torch.tensor(row, dtype=torch.long)
        mask[i, where] = True
    return Tokens(
        ids=ids,
        mask=mask,
        texts=tuple(texts),
        offsets=tuple(tuple(row) for row in offsets),
        padding="none" if all(len(row) == width for row in rows) else side,
    )


def check_ids(tokens: Tokens, d_vocab: int, tokenizer: Any = None) -> Tokens:
    """Refuse token ids that the model has no embedding for; return the batch otherwise.

    Raises:
        BadOption: an id lies outside the model's vocabulary.
    """
    ids, mask = tokens.near.ids, tokens.near.mask
    outside = ids[mask & ((ids >= d_vocab) | (ids < 0))]
    if outside.numel():
        raise outside_vocabulary(outside.tolist(), d_vocab, tokenizer)
    return tokens


def outside_vocabulary(ids: Sequence[int], d_vocab: int, tokenizer: Any = None) -> BadOption:
    """Return the error that names ids the model has no embedding for."""
    some = sorted(set(ids))[:3]
    named = ", ".join(
        str(i) if tokenizer is None else f"{i} ({tokenizer.convert_ids_to_tokens(i)!r})"
        for i in some
    )
    return BadOption(
        f"the model embeds the token ids 0 to {d_vocab - 1}, and the text holds {named}",
        hint="leave these tokens out, or use the tokenizer that the model was trained with",
    )


def encoded(
    tokenizer: Any, text: str, *, special_tokens: bool = True, offsets: bool = False
) -> Any:
    """Return what a tokenizer makes of a text: `input_ids`, and `offset_mapping` on request.

    Raises:
        BadOption: the tokenizer fails on that text.
    """
    try:
        return tokenizer(text, add_special_tokens=special_tokens, return_offsets_mapping=offsets)
    # The tokenizers library has no error class of its own, and slow tokenizers raise anything.
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadOption(
            f"the tokenizer cannot read {text[:60]!r}: {said}",
            hint="leave out texts with unknown words or characters, or give the tokenizer an "
            "unknown token (unk_token)",
        ) from error


def encoded_texts(tokenizer: Any, texts: Sequence[str], *, limit: int) -> list[Encoded | BadOption]:
    """Return the ids and offsets of every text, cut to `limit`, tokenised many in one call.

    In the place of a text that the tokenizer cannot read stands the error.
    """
    found: list[Encoded | BadOption] = []
    for first in range(0, len(texts), _AT_ONCE):
        some = list(texts[first : first + _AT_ONCE])
        try:
            many = tokenizer(some, return_offsets_mapping=tokenizer.is_fast)
        # One text that cannot be read fails them all, and is not named.
        except Exception:
            found += [_one(tokenizer, text, limit) for text in some]
            continue
        offsets = many.get("offset_mapping", [[]] * len(some))
        found += [
            (list(ids[:limit]), list(places[:limit]))
            for ids, places in zip(many["input_ids"], offsets, strict=True)
        ]
    return found


def _one(tokenizer: Any, text: str, limit: int) -> Encoded | BadOption:
    try:
        found = encoded(tokenizer, text, offsets=tokenizer.is_fast)
    except BadOption as error:
        return error
    return list(found["input_ids"])[:limit], list(found.get("offset_mapping", []))[:limit]


def token_ids(tokenizer: Any, text: str, *, special_tokens: bool = True) -> list[int]:
    """Return a text as token ids.

    Raises:
        BadOption: the tokenizer fails on that text.
    """
    return [int(i) for i in encoded(tokenizer, text, special_tokens=special_tokens)["input_ids"]]


def opening_ids(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """Return the token that begins every text, if this one begins with it, as a list."""
    start = getattr(tokenizer, "bos_token_id", None)
    return list(ids[:1]) if start is not None and list(ids[:1]) == [start] else []


def tokenize(
    tokenizer: Any,
    texts: Sequence[str],
    *,
    side: Literal["left", "right"] = "right",
    limit: int | None = None,
    special_tokens: bool = True,
) -> Tokens:
    """Turn texts into one batch, each cut to `limit` tokens.

    Raises:
        TooLittleData: a text holds no tokens.
        BadOption: the tokenizer fails on a text.
    """
    rows, offsets = [], []
    for text in texts:
        found = encoded(tokenizer, text, special_tokens=special_tokens, offsets=tokenizer.is_fast)
        rows.append(list(found["input_ids"])[:limit])
        offsets.append([(int(a), int(b)) for a, b in found.get("offset_mapping", [])][:limit])
    pad_id = tokenizer.pad_token_id
    if pad_id is None:
        pad_id = tokenizer.eos_token_id or 0
    return pad(rows, pad_id=pad_id, side=side, texts=texts, offsets=offsets)
