"""A prompt that was run once and can be continued many times."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadEdit, BadOption, BadSite
from workbench.model.backend import Inputs
from workbench.model.edits import Edit
from workbench.model.policy import Host
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens, left_order


@dataclass(frozen=True, kw_only=True, eq=False)
class Prefix:
    """A left-padded prompt with its cache, its last logits and what was read on the way.

    Continuing never changes it, so one prefix serves any number of generations. `captured`
    holds whole sites; `read` are those asked for, which a continuation records as well.
    """

    tokens: Tokens
    cache: Any
    logits: Float[Tensor, "batch d_vocab"]
    captured: Mapping[Site, Tensor]
    read: tuple[Site, ...] = ()

    def take(self, rows: Sequence[int]) -> "Prefix":
        """Return the rows at those indices; naming one often continues it often.

        The forward pass is not repeated: `prefix.take([0] * 64)` is one prompt, 64 times.
        """
        where = torch.tensor(list(rows), dtype=torch.long, device=self.logits.device)
        return Prefix(
            tokens=self.tokens.take(rows),
            cache=select_cache(fork_cache(self.cache), where),
            logits=self.logits[where],
            captured={site: x[where.to(x.device)] for site, x in self.captured.items()},
            read=self.read,
        )


def new_cache() -> Any:
    """Return an empty key-value cache that keeps every position of every layer."""
    from transformers import DynamicCache

    return DynamicCache()


def fork_cache(cache: Any) -> Any:
    """Return a cache that can grow on its own; tensors are shared, as growing replaces them."""
    forked = copy.copy(cache)
    forked.layers = [copy.copy(layer) for layer in cache.layers]
    return forked


def select_cache(cache: Any, rows: Tensor) -> Any:
    """Keep those rows of a cache, in place, and return it."""
    for layer in cache.layers:
        layer.batch_select_indices(rows.to(layer.keys.device))
    return cache


def prefill(
    model: Host,
    tokens: Tokens,
    *,
    read: Sequence[Site] = (),
    also: Sequence[Site] = (),
    edits: Sequence[Edit] = (),
    embeds: Float[Tensor, "batch pos d_model"] | None = None,
) -> Prefix:
    """Run a prompt once and keep its cache.

    `also` are sites that a policy needs; a continuation does not report them. `embeds` replaces
    the token embeddings, in the layout of `tokens`. Edits act as at step 0.

    Raises:
        BadOption: a prompt leaves no room for a token, or `embeds` has another layout.
        BadSite: a site names a position that not every prompt has.
        BadEdit: an edit holds one value per position, and the prompt was padded otherwise.
    """
    _check_lengths(model, tokens)
    _check_positions(read, min(tokens.lengths))
    prompt = tokens.left()
    if not torch.equal(prompt.mask, tokens.mask):
        _check_edits(edits)
    if embeds is not None:
        embeds = _left_embeds(embeds, tokens)
    cache = new_cache()
    inputs = Inputs(
        ids=prompt.ids if embeds is None else None,
        embeds=embeds,
        mask=prompt.mask,
        position_ids=prompt.position_ids,
        cache=cache,
    )
    whole = tuple(dict.fromkeys(site.whole() for site in (*read, *also)))
    out = model.forward(inputs, read=whole, edits=edits, logits="last", step=0)
    if out.logits is None:
        raise BadOption("the backend returned no logits for the prompt")
    captured = {site: out.captured[site] for site in whole}
    return Prefix(
        tokens=prompt, cache=cache, logits=out.logits[:, -1], captured=captured, read=tuple(read)
    )


def _left_embeds(embeds: Tensor, tokens: Tokens) -> Tensor:
    if embeds.shape[:2] != tokens.ids.shape:
        raise BadOption(
            f"embeds cover {tuple(embeds.shape[:2])} rows and positions; "
            f"expected {tuple(tokens.ids.shape)} as in the prompt"
        )
    order = left_order(tokens.mask)
    return embeds.take_along_dim(order[..., None].to(embeds.device), dim=1)


def _check_lengths(model: Host, tokens: Tokens) -> None:
    room = model.spec.max_positions
    long = [f"row {i} holds {n}" for i, n in enumerate(tokens.lengths) if n >= room]
    if long:
        raise BadOption(
            f"the prompt leaves no room to generate: {', '.join(long)} tokens; "
            f"{model.spec.name} takes at most {room} with what it generates",
            hint="shorten the text, or cut it with model.tokenize(texts, limit=…)",
        )


def _check_positions(read: Sequence[Site], shortest: int) -> None:
    # Later positions exist only in rows that run long enough, which nobody knows beforehand.
    for site in read:
        if any(not -shortest <= position < shortest for position in site.positions or ()):
            raise BadSite(
                f"{site} names a position that a prompt of {shortest} tokens does not have",
                hint=f"read {site.whole()} and choose positions of the trace",
            )


def _check_edits(edits: Sequence[Edit]) -> None:
    for edit in edits:
        if not edit.acts_at(0) or not isinstance(edit.value, Tensor):
            continue
        from_end = 3 if edit.site.kind in (Kind.Q, Kind.K, Kind.V, Kind.Z) else 2
        if edit.value.dim() >= from_end and edit.value.shape[-from_end] > 1:
            raise BadEdit(
                f"the edit at {edit.site} holds one value per position, and the prompt is not "
                "padded on the left as generation needs it",
                hint='use model.tokenize(texts, side="left") and values in that layout',
            )
