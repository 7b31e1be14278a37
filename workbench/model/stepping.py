"""Feeding one position after another to the rows that still run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadOption
from workbench.model.backend import Inputs, Outputs
from workbench.model.caches import fork_cache, repeat_cache, select_cache
from workbench.model.edits import Edit, for_rows
from workbench.model.policy import Choice, Host, Lookahead
from workbench.model.prefix import Prefix
from workbench.model.sites import Site


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ahead:
    rows: tuple[int, ...]
    cache: Any
    out: Outputs


class Stepper:
    """The state of the model during one generation: cache, mask and position of every row.

    Finished rows are masked off; once half of those in the cache have finished they are taken
    out of it. Tensors shown outside always have one entry per row of the prompt.
    """

    def __init__(self, model: Host, prefix: Prefix, edits: Sequence[Edit]) -> None:
        """Continue a prefix, which stays as it is."""
        self.logits: Float[Tensor, "batch d_vocab"] = prefix.logits
        self.captured: Mapping[Site, Tensor] = prefix.captured
        self._model = model
        self._read = tuple(prefix.captured)
        self._edits = tuple(edits)
        self._n = prefix.tokens.ids.shape[0]
        self._rows = tuple(range(self._n))
        self._cache = fork_cache(prefix.cache)
        self._mask = prefix.tokens.mask
        width = prefix.tokens.ids.shape[1]
        self._has_gaps = [length < width for length in prefix.tokens.lengths]
        self._lengths = prefix.next_positions
        self._step = 0

    def look(self, candidates: Int[Tensor, "batch k"]) -> Lookahead:
        """Run k candidates per running row next to each other, one forward pass in all."""
        k = candidates.shape[1]
        ids = candidates.to(self._mask.device)[list(self._rows)]
        cache = fork_cache(self._cache)
        if k > 1:
            cache = repeat_cache(cache, k, len(self._rows))
        out = self._forward(
            tuple(row for row in self._rows for _ in range(k)),
            ids=ids.reshape(-1, 1),
            needs_mask=any(self._has_gaps[row] for row in self._rows),
            alive=torch.ones(len(self._rows) * k, dtype=torch.bool, device=self._mask.device),
            cache=cache,
        )
        return Lookahead(
            candidates=candidates,
            logits=self._whole(_last(out).unflatten(0, (-1, k))),
            captured={
                site: self._whole(x[:, -1].unflatten(0, (-1, k)))
                for site, x in out.captured.items()
            },
            state=_Ahead(rows=self._rows, cache=cache, out=out),
        )

    def feed(self, choice: Choice, live: Sequence[bool]) -> None:
        """Feed what was chosen; rows that are no longer live are masked off."""
        before = self._rows
        running = tuple(row for row in before if live[row])
        if 2 * len(running) <= len(before):
            self._rows = running
        alive = torch.tensor(live, dtype=torch.bool, device=self._mask.device)
        if choice.lookahead is None:
            if self._rows != before:
                self._cache = select_cache(self._cache, _index(before, self._rows))
            index = self._part(self._rows)
            out = self._forward(
                self._rows,
                cache=self._cache,
                alive=alive[index],
                needs_mask=any(self._has_gaps[row] or not live[row] for row in self._rows),
                **self._inputs(choice, index),
            )
        else:
            self._cache, out = self._adopt(choice)
        self.logits = self._whole(_last(out))
        self.captured = {site: self._whole(x) for site, x in out.captured.items()}
        self._mask = torch.cat([self._mask, alive[:, None]], dim=1)
        self._has_gaps = [gap or not on for gap, on in zip(self._has_gaps, live, strict=True)]
        self._lengths = self._lengths + alive
        self._step += 1

    def _inputs(self, choice: Choice, index: Tensor | slice) -> dict[str, Tensor]:
        ids = choice.tokens.to(self._mask.device)[index][:, None]
        if choice.embeds is None:
            return {"ids": ids}
        token = self._model.embed(ids)
        vector = choice.embeds.to(token)[index][:, None]
        if choice.fed is None:
            return {"embeds": vector}
        fed = choice.fed.to(token.device)[index][:, None, None]
        return {"embeds": torch.where(fed, vector, token)}

    def _adopt(self, choice: Choice) -> tuple[Any, Outputs]:
        ahead = choice.lookahead.state if choice.lookahead else None
        if choice.pick is None or not isinstance(ahead, _Ahead):
            raise BadOption("a choice with a lookahead of this step needs the picked candidates")
        k = len(_last(ahead.out)) // len(ahead.rows)
        pick = choice.pick.to(self._mask.device)
        kept = _index(ahead.rows, self._rows).to(pick.device) * k + pick[list(self._rows)]
        captured = {site: x[kept.to(x.device)] for site, x in ahead.out.captured.items()}
        logits = _last(ahead.out)
        out = Outputs(logits=logits[kept.to(logits.device)][:, None], captured=captured)
        return select_cache(ahead.cache, kept), out

    def _forward(
        self,
        rows: tuple[int, ...],
        *,
        alive: Tensor,
        needs_mask: bool,
        cache: Any,
        ids: Tensor | None = None,
        embeds: Tensor | None = None,
    ) -> Outputs:
        index = self._part(rows)
        inputs = Inputs(
            ids=ids,
            embeds=embeds,
            mask=torch.cat([self._mask[index], alive[:, None]], dim=1),
            position_ids=self._lengths[index][:, None],
            cache=cache,
            needs_mask=needs_mask,
        )
        edits = for_rows(self._edits, rows, self._n)
        return self._model.forward(
            inputs, read=self._read, edits=edits, logits="last", step=self._step + 1
        )

    def _part(self, rows: Sequence[int]) -> Tensor | slice:
        """Return what takes those rows of a tensor of the whole batch; a view where it is all."""
        if tuple(rows) == tuple(range(self._n)):
            return slice(None)
        return torch.tensor(rows, device=self._mask.device)

    def _whole(self, x: Tensor) -> Tensor:
        if len(self._rows) == self._n:
            return x
        full = x.new_zeros((self._n, *x.shape[1:]))
        full[list(self._rows)] = x
        return full


def _index(before: Sequence[int], after: Sequence[int]) -> Tensor:
    where = {row: i for i, row in enumerate(before)}
    return torch.tensor([where[row] for row in after], dtype=torch.long)


def _last(out: Outputs) -> Tensor:
    if out.logits is None:
        raise BadOption("the backend returned no logits")
    return out.logits[:, -1]
