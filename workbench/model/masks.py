"""Who sees whom: attention masks and positions of a batch as data."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.errors import BadOption
from workbench.model.capabilities import require
from workbench.model.subject import Subject
from workbench.model.tokens import Tokens, left_order, pad

MASKS = "attention masks"
"""The capability of a model that honours any mask and any positions."""


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """Branches side by side; each is a sequence of tokens and of further such blocks.

    Without `blind` a branch sees those that stand before it; without `aligned` positions are
    counted through them: with neither, the block is plain text.
    """

    branches: tuple[tuple["Piece", ...], ...]
    blind: bool = True
    aligned: bool = True


Piece = int | Parallel
"""A token id, or branches that stand in one place of the sequence."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Which columns each column of a batch sees, and the position that each token stands at.

    Padding is seen by nobody and sees itself. `name` tells the layout in records and messages.
    """

    visible: Bool[Tensor, "batch pos pos"]
    position_ids: Int[Tensor, "batch pos"]
    name: str = "causal"

    def is_causal(self, tokens: Tokens) -> bool:
        """Whether this is what a plain causal run over the tokens does."""
        plain = causal(tokens)
        mask = tokens.near.mask
        same = self.position_ids.cpu()[mask].equal(plain.position_ids.cpu()[mask])
        return same and self.visible.cpu().equal(plain.visible.cpu())

    def left(self, mask: Bool[Tensor, "batch pos"]) -> "Layout":
        """Return the layout of the same rows with their padding moved to the left."""
        order = left_order(mask).to(self.visible.device)
        rows = self.visible.take_along_dim(order[:, :, None], dim=1)
        return Layout(
            visible=rows.take_along_dim(order[:, None, :], dim=2),
            position_ids=self.position_ids.gather(1, order),
            name=self.name,
        )

    def take(self, rows: Int[Tensor, " kept"]) -> "Layout":
        """Return the rows at those indices."""
        rows = rows.to(self.visible.device)
        return Layout(
            visible=self.visible[rows], position_ids=self.position_ids[rows], name=self.name
        )

    def to(self, device: str | torch.device) -> "Layout":
        """Return the layout on another device."""
        return Layout(
            visible=self.visible.to(device),
            position_ids=self.position_ids.to(device),
            name=self.name,
        )

    def check(self, tokens: Tokens) -> None:
        """Refuse a layout of another shape than the batch, and queries that see nothing.

        Raises:
            BadOption: it does not fit.
        """
        n, width = tokens.ids.shape
        shapes = tuple(self.visible.shape), tuple(self.position_ids.shape)
        if shapes != ((n, width, width), (n, width)):
            raise BadOption(
                f"the layout {self.name} has a mask of {shapes[0]} and positions of {shapes[1]}; "
                f"expected {(n, width, width)} and {(n, width)} as in the batch"
            )
        if not bool(self.visible.any(dim=2).all()) or bool((self.position_ids < 0).any()):
            raise BadOption(
                f"the layout {self.name} has a query that sees no key, or a negative position",
                hint="let every token see itself at least",
            )


def causal(tokens: Tokens) -> Layout:
    """Return the layout of a plain run: every token sees what stands before it."""
    near = tokens.near
    return _layout(near.mask, _before(near), near.position_ids, "causal")


def honoured(model: Subject, layout: Layout | None, tokens: Tokens) -> Layout | None:
    """Return a layout that the model was found to honour, None where a plain run does the same.

    Raises:
        BadOption: it does not fit the batch.
        Unsupported: the model does not honour it.
    """
    if layout is None:
        return None
    layout.check(tokens)
    if layout.is_causal(tokens):
        return None
    require(model, MASKS)
    return layout.to(tokens.ids.device)


def fitting(model: Subject, layout: Layout | None, tokens: Tokens) -> Layout | None:
    """Return the layout of a run, as `honoured` does, for a batch that the model has places for.

    Raises:
        BadOption: a row is longer than the model's positions, or the layout does not fit.
        Unsupported: the model does not honour the layout.
    """
    longest = model.spec.max_positions
    # A model that changes its rotary frequencies with the length has places beyond that.
    if model.switch is None and tokens.ids.shape[1] > longest:
        places = tokens.near.position_ids if layout is None else layout.position_ids.cpu()
        needed = (places.masked_fill(~tokens.near.mask, 0).amax(dim=1) + 1).tolist()
        long = [f"row {i} takes {n}" for i, n in enumerate(needed) if n > longest]
        if long:
            raise BadOption(
                f"{model.spec.name} has {longest} positions; {', '.join(long[:3])}",
                hint="shorten the text, or cut it with model.tokenize(texts, limit=…)",
            )
    return honoured(model, layout, tokens)


def prefix_visible(tokens: Tokens, lengths: Sequence[int]) -> Layout:
    """Let the first `lengths[i]` tokens of row i see one another, whichever stands first.

    The tokens behind them see what is before them. Lengths of 0 and 1 are the causal mask, the
    length of the text is attention in both directions.

    Source: Wang et al. 2022, arXiv:2204.05832 ("non-causal decoder").
    """
    near = tokens.near
    few = torch.tensor(list(lengths))[:, None]
    first = near.mask & (near.position_ids < few)
    both = first[:, :, None] & first[:, None, :]
    return _layout(near.mask, _before(near) | both, near.position_ids, "prefix")


def lay_out(
    prompts: Sequence[Sequence[Piece]],
    *,
    name: str = "parts",
) -> tuple[Tokens, Layout]:
    """Write prompts with parallel branches as left-padded rows and the layout they run under.

    A branch sees what stands before its block and itself; what follows the block sees every
    branch. All branches begin at one position, and what follows begins behind the longest.

    Source: McIlroy-Young et al. 2024, arXiv:2406.06581 (set-based prompting); Yang et al. 2025,
    arXiv:2506.09991, section 3 (Multiverse attention), which nests.
    """
    walks = [_Walk(prompt) for prompt in prompts]
    tokens = pad([walk.ids for walk in walks], side="left")
    width = tokens.ids.shape[1]
    visible = torch.zeros((len(walks), width, width), dtype=torch.bool)
    position_ids = torch.zeros((len(walks), width), dtype=torch.long)
    for i, walk in enumerate(walks):
        begin = width - len(walk.ids)
        visible[i, begin:, begin:] = walk.sees
        position_ids[i, begin:] = torch.tensor(walk.positions)
    return tokens, _layout(tokens.mask, visible, position_ids, name)


def size(pieces: Sequence[Piece]) -> int:
    """Return how many tokens there are."""
    return sum(
        sum(map(size, piece.branches)) if isinstance(piece, Parallel) else 1 for piece in pieces
    )


def relaxed(pieces: Sequence[Piece], *, blind: bool, aligned: bool) -> tuple[Piece, ...]:
    """Return the pieces with every block blind and aligned, or not; with neither it is plain."""
    found: list[Piece] = []
    for piece in pieces:
        if not isinstance(piece, Parallel):
            found.append(piece)
            continue
        parts = tuple(relaxed(b, blind=blind, aligned=aligned) for b in piece.branches)
        if blind or aligned:
            found.append(Parallel(branches=parts, blind=blind, aligned=aligned))
        else:
            found += chain.from_iterable(parts)
    return tuple(found)


class _Walk:
    """One prompt written out column by column."""

    def __init__(self, prompt: Sequence[Piece]) -> None:
        n = size(prompt)
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.sees = torch.zeros((n, n), dtype=torch.bool)
        self._sequence(prompt, torch.zeros(n, dtype=torch.bool), 0)

    def _sequence(self, pieces: Sequence[Piece], seen: Tensor, at: int) -> tuple[Tensor, int]:
        """Write a sequence behind what it sees; return what it leaves to see, and the end."""
        seen = seen.clone()
        for piece in pieces:
            if isinstance(piece, Parallel):
                seen, at = self._block(piece, seen, at)
                continue
            column = len(self.ids)
            seen[column] = True
            self.sees[column] = seen
            self.ids.append(piece)
            self.positions.append(at)
            at += 1
        return seen, at

    def _block(self, block: Parallel, before: Tensor, at: int) -> tuple[Tensor, int]:
        after, begin, ends = before, at, [at]
        for branch in block.branches:
            seen, end = self._sequence(branch, before if block.blind else after, begin)
            after = after | seen
            begin = at if block.aligned else end
            ends.append(end)
        return after, max(ends)


def _before(tokens: Tokens) -> Bool[Tensor, "batch pos pos"]:
    width = tokens.ids.shape[1]
    return torch.ones((len(tokens.ids), width, width), dtype=torch.bool).tril()


def _layout(
    mask: Bool[Tensor, "batch pos"],
    visible: Bool[Tensor, "batch pos pos"],
    position_ids: Int[Tensor, "batch pos"],
    name: str,
) -> Layout:
    real = mask[:, :, None] & mask[:, None, :]
    itself = torch.eye(mask.shape[1], dtype=torch.bool)
    return Layout(visible=(visible & real) | itself, position_ids=position_ids, name=name)
