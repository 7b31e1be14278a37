"""A prompt that was run once and can be continued many times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadEdit, BadOption, BadSite, Unsupported
from workbench.model.apart_run import Joined, plain_inputs
from workbench.model.backend import Inputs
from workbench.model.caches import fork_cache, new_cache, select_cache
from workbench.model.edits import Edit, Op, active, for_rows
from workbench.model.masks import Layout
from workbench.model.policy import Host
from workbench.model.row_groups import equal_rows
from workbench.model.row_states import RowState
from workbench.model.sites import Kind, Site
from workbench.model.tokens import Tokens, left_order


@dataclass(frozen=True, kw_only=True, eq=False)
class Prefix:
    """A left-padded prompt with its cache, its last logits and what was read on the way.

    Continuing never changes it, so one prefix serves any number of generations. `captured`
    holds whole sites; `read` are those asked for, which a continuation records as well.
    Rows that cannot run side by side have no common cache: `states` holds them instead. `embeds`,
    `edits` and `layout` are those the prompt was run with.
    """

    tokens: Tokens
    cache: Any
    logits: Float[Tensor, "batch d_vocab"]
    captured: Mapping[Site, Tensor]
    read: tuple[Site, ...] = ()
    states: tuple[RowState, ...] = ()
    embeds: Float[Tensor, "batch pos d_model"] | None = None
    edits: tuple[Edit, ...] = ()
    layout: Layout | None = None

    @property
    def next_positions(self) -> Int[Tensor, " batch"]:
        """The position of the token behind each row."""
        if self.layout is None:
            return self.tokens.mask.sum(dim=1)
        return self.layout.position_ids.amax(dim=1) + 1

    def take(self, rows: Sequence[int]) -> "Prefix":
        """Return the rows at those indices; naming one often continues it often.

        The forward pass is not repeated: `prefix.take([0] * 64)` is one prompt, 64 times.
        """
        where = torch.tensor(list(rows), dtype=torch.long, device=self.logits.device)
        cache = self.cache
        return Prefix(
            tokens=self.tokens.take(rows),
            cache=None if cache is None else select_cache(fork_cache(cache), where),
            logits=self.logits[where],
            captured={site: x[where.to(x.device)] for site, x in self.captured.items()},
            read=self.read,
            states=_taken(self.states, rows),
            embeds=None if self.embeds is None else self.embeds[where.to(self.embeds.device)],
            edits=for_rows(self.edits, rows, len(self.tokens.ids)),
            layout=None if self.layout is None else self.layout.take(where),
        )

    def apart(self) -> "Prefix":
        """Return the same prefix with its rows kept apart, to be run anew when continued."""
        if self.states:
            return self
        states = []
        for place in equal_rows(self.tokens):
            embeds = None if self.embeds is None else place.take(self.embeds)
            ids = place.take(self.tokens.ids)
            states.append(RowState(rows=place.rows, ids=ids, n_prompt=ids.shape[1], embeds=embeds))
        return replace(self, cache=None, states=tuple(states))


def _taken(states: Sequence[RowState], rows: Sequence[int]) -> tuple[RowState, ...]:
    kept = []
    for state in states:
        at = {row: i for i, row in enumerate(state.rows)}
        new = [j for j, row in enumerate(rows) if row in at]
        if new:
            kept.append(state.take([at[rows[j]] for j in new], new))
    return tuple(kept)


def prefill(  # noqa: PLR0913 - all that a first pass may be given
    model: Host,
    tokens: Tokens,
    *,
    read: Sequence[Site] = (),
    also: Sequence[Site] = (),
    edits: Sequence[Edit] = (),
    embeds: Float[Tensor, "batch pos d_model"] | None = None,
    layout: Layout | None = None,
) -> Prefix:
    """Run a prompt once and keep its cache.

    `also` are sites that a policy needs; a continuation does not report them. `embeds` replaces
    the token embeddings, in the layout of `tokens`. Edits act as at step 0.

    Raises:
        BadOption: a prompt leaves no room for a token, `embeds` has another layout, or the last
            token does not see the whole prompt.
        BadSite: a site names a position that not every prompt has.
        BadEdit: an edit holds one value per position, and the prompt was padded otherwise.
        Unsupported: there is a layout, and this model keeps no cache that holds it.
    """
    _check_lengths(model, tokens)
    _check_positions(read, min(tokens.lengths))
    prompt = tokens.left()
    if not torch.equal(prompt.mask, tokens.mask):
        _check_edits(edits)
    if embeds is not None:
        embeds = _left_embeds(embeds, tokens)
    whole = tuple(dict.fromkeys(site.whole() for site in (*read, *also)))
    plan = model.row_plan(prompt)
    if layout is not None:
        layout = _left_layout(layout, tokens, keeps=plan.together and plan.keeps)
    if plan.together and plan.keeps:
        found = _prefilled(model, prompt, whole, edits, embeds, layout)
    else:
        found = _prefilled_apart(model, prompt, whole, edits, embeds, keeps=plan.keeps)
    return replace(found, read=tuple(read), edits=active(edits, 0))


def _prefilled(
    model: Host,
    prompt: Tokens,
    read: Sequence[Site],
    edits: Sequence[Edit],
    embeds: Tensor | None,
    layout: Layout | None,
) -> Prefix:
    inputs = Inputs(
        ids=prompt.ids if embeds is None else None,
        embeds=embeds,
        mask=prompt.mask,
        position_ids=prompt.position_ids if layout is None else layout.position_ids,
        cache=new_cache(model.backend.module),
        host_mask=prompt.near.mask,
        needs_mask=prompt.is_padded,
        visible=None if layout is None else layout.visible,
    )
    out = model.forward(inputs, read=read, edits=edits, logits="last", step=0)
    captured = {site: out.captured[site] for site in read}
    return Prefix(
        tokens=prompt,
        cache=inputs.cache,
        logits=_last(out.logits),
        captured=captured,
        embeds=embeds,
        layout=layout,
    )


def _prefilled_apart(
    model: Host,
    prompt: Tokens,
    read: Sequence[Site],
    edits: Sequence[Edit],
    embeds: Tensor | None,
    *,
    keeps: bool,
) -> Prefix:
    joined, states = Joined("last"), []
    for place in equal_rows(prompt):
        ids = place.take(prompt.ids)
        vectors = None if embeds is None else place.take(embeds)
        cache = new_cache(model.backend.module) if keeps else None
        inputs = plain_inputs(ids, vectors, cache)
        own = place.edits(edits)
        joined.add(place, model.forward(inputs, read=read, edits=own, logits="last", step=0))
        states.append(
            RowState(rows=place.rows, ids=ids, n_prompt=ids.shape[1], embeds=vectors, cache=cache)
        )
    out = joined.outputs()
    return Prefix(
        tokens=prompt,
        cache=None,
        logits=_last(out.logits),
        captured={site: out.captured[site] for site in read},
        states=tuple(states),
        embeds=embeds,
    )


def _last(logits: Tensor | None) -> Tensor:
    if logits is None:
        raise BadOption("the backend returned no logits for the prompt")
    return logits[:, -1]


def _left_embeds(embeds: Tensor, tokens: Tokens) -> Tensor:
    if embeds.shape[:2] != tokens.ids.shape:
        raise BadOption(
            f"embeds cover {tuple(embeds.shape[:2])} rows and positions; "
            f"expected {tuple(tokens.ids.shape)} as in the prompt"
        )
    order = left_order(tokens.mask)
    return embeds.take_along_dim(order[..., None].to(embeds.device), dim=1)


def _left_layout(layout: Layout, tokens: Tokens, *, keeps: bool) -> Layout:
    if not keeps:
        raise Unsupported(
            f"the layout {layout.name} needs a cache, and with one this model gives other numbers",
            hint="model.run takes a layout without a cache",
        )
    found = layout.left(tokens.mask)
    if not found.visible[:, -1].equal(tokens.left().mask):
        raise BadOption(
            f"the last token of a prompt does not see all of it under the layout {layout.name}",
            hint="put a token behind the parts, which reads all of them",
        )
    return found


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
        if not edit.acts_at(0) or not isinstance(edit.value, Tensor) or edit.op is Op.AFFINE:
            continue
        from_end = 3 if edit.site.kind in (Kind.Q, Kind.K, Kind.V, Kind.Z) else 2
        if edit.value.dim() >= from_end and edit.value.shape[-from_end] > 1:
            raise BadEdit(
                f"the edit at {edit.site} holds one value per position, and the prompt is not "
                "padded on the left as generation needs it",
                hint='use model.tokenize(texts, side="left") and values in that layout',
            )
