"""Rows of equal length during a generation: what they were fed, and a cache if one can be kept."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.model.apart_run import plain_inputs
from workbench.model.backend import Outputs
from workbench.model.caches import fork_cache, new_cache, select_cache
from workbench.model.edits import Edit, active, for_rows
from workbench.model.policy import Host
from workbench.model.replayed_edits import replayed
from workbench.model.sites import Kind, Site


@dataclass(frozen=True, kw_only=True, eq=False)
class RowState:
    """Rows without padding, all of one length; `rows` are their numbers in the prompt batch.

    `embeds` are the vectors that were fed, None while these are the embeddings of `ids`. Without
    a cache the rows are run anew at every step.
    """

    rows: tuple[int, ...]
    ids: Int[Tensor, "row seen"]
    n_prompt: int
    embeds: Float[Tensor, "row seen d_model"] | None = None
    cache: Any = None

    @property
    def length(self) -> int:
        """The number of tokens that every row holds."""
        return int(self.ids.shape[1])

    def take(self, index: Sequence[int], rows: Sequence[int]) -> "RowState":
        """Return those rows under new numbers; the cache can then grow on its own."""
        where = torch.tensor(list(index), dtype=torch.long, device=self.ids.device)
        return replace(
            self,
            rows=tuple(rows),
            ids=self.ids[where],
            embeds=None if self.embeds is None else self.embeds[where.to(self.embeds.device)],
            cache=None if self.cache is None else select_cache(fork_cache(self.cache), where),
        )

    def fed(self, ids: Tensor, embeds: Tensor | None, model: Host) -> "RowState":
        """Return the rows with one more position each, which has not been run."""
        old = self.embeds
        if old is None and embeds is not None:
            old = model.embed(self.ids)
        if old is not None and embeds is None:
            embeds = model.embed(ids)
        joined = None if old is None or embeds is None else torch.cat([old, embeds.to(old)], dim=1)
        return replace(self, ids=torch.cat([self.ids, ids], dim=1), embeds=joined)


@dataclass(frozen=True, kw_only=True, eq=False)
class Runner:
    """How the newest position of a group of rows is run.

    `edits` are those of the generation, `prompt_edits` those the prompt was run with, each for a
    prompt of `n` rows padded to `width`. `keeps` says that a cache gives what no cache gives.
    """

    model: Host
    read: tuple[Site, ...]
    edits: tuple[Edit, ...]
    prompt_edits: tuple[Edit, ...]
    n: int
    width: int
    keeps: bool

    def run(self, state: RowState) -> tuple[RowState, Outputs]:
        """Run the last position, and everything before it where that is not kept or not valid."""
        if state.cache is not None and not self._crosses(state.length):
            return state, self._one(state)
        return self._anew(state)

    def _crosses(self, length: int) -> bool:
        switch = self.model.switch
        return switch is not None and switch.divides([length - 1, length])

    def _one(self, state: RowState) -> Outputs:
        inputs = plain_inputs(
            state.ids[:, -1:],
            None if state.embeds is None else state.embeds[:, -1:],
            state.cache,
            state.length - 1,
        )
        edits = for_rows(self.edits, state.rows, self.n)
        step = state.length - state.n_prompt
        return self.model.forward(inputs, read=self.read, edits=edits, logits="last", step=step)

    def _anew(self, state: RowState) -> tuple[RowState, Outputs]:
        cache = new_cache(self.model.backend.module) if self.keeps else None
        inputs = plain_inputs(state.ids, state.embeds, cache)
        edits = replayed(
            active(for_rows(self.prompt_edits, state.rows, self.n), 0),
            for_rows(self.edits, state.rows, self.n),
            n_prompt=state.n_prompt,
            length=state.length,
            width=self.width,
        )
        out = self.model.forward(inputs, read=self.read, edits=edits, logits="last")
        last = {site: newest(site, x) for site, x in out.captured.items()}
        return replace(state, cache=cache), Outputs(logits=out.logits, captured=last)


def newest(site: Site, x: Tensor) -> Tensor:
    """Keep the last position of what was read at a whole site; of a pattern, the last query."""
    return x[:, :, -1:] if site.kind is Kind.ATTN_PATTERN else x[:, -1:]
