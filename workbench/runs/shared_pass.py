"""One text that many probes look at: one forward pass, and each state read by the head once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.model.model import Model
from workbench.model.sites import Site
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace

_BUDGET = 64 << 20  # logits that are kept
_Key = tuple[bool, bytes]  # whether the state is normed, and the state


class SharedPass(Model):
    """A model that remembers the first text it ran, for probes that look at it one by one.

    The first plain run reads `also` beside what is asked for, so that later probes find their
    sites there; logits of the states of that text are kept as well, as far as memory goes.
    Numbers are those of the model up to the rounding of products over fewer rows. Whatever
    changes the run (edits, embeddings, a layout, logits, other tokens) is passed on. A pass that
    is not finite throughout is not kept: each probe has to see that for itself.
    """

    def __init__(self, model: Model, also: Sequence[Site] = ()) -> None:
        """Share everything with a model: weights, lock and what is known of it."""
        self.__dict__.update(model.__dict__)
        self.also = model.sites(also)
        self._kept: Trace | None = None
        self._logits: dict[_Key, Tensor | None] = {}
        self._n_kept = 0

    def run(self, tokens: Tokens | str | Sequence[str], **asked: Any) -> Trace:
        """Run as the model does, or return what is known of the text."""
        changes = {name: x for name, x in asked.items() if name != "read" and x not in ((), None)}
        if changes or not isinstance(tokens, Tokens):
            return super().run(tokens, **asked)
        wanted = self.sites(asked.get("read", ()))
        with self.lock:
            if self._kept is None:
                self._keep(super().run(tokens, read=self.sites((*wanted, *self.also))))
            kept = self._kept
            if kept is None or not _is_same(tokens, kept.tokens):
                return super().run(tokens, read=wanted)
            missing = [site for site in wanted if site not in kept.activations]
            if missing:
                more = super().run(kept.tokens, read=missing)
                kept = replace(kept, activations={**kept.activations, **more.activations})
                self._keep(kept)
        return replace(kept, activations={site: kept.activations[site] for site in wanted})

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool = False
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map states to logits; those of the states of the text are computed once."""
        rows = h.reshape(-1, h.shape[-1])
        keys = [(normed, key) for key in _bytes(rows)]
        known = {i: x for i, key in enumerate(keys) if (x := self._logits.get(key)) is not None}
        others = [i for i in range(len(rows)) if i not in known]
        if not known:
            logits = super().unembed(h, normed=normed)
            self._remember(keys, others, logits.reshape(len(rows), -1))
            return logits
        fresh = super().unembed(rows[others], normed=normed) if others else rows[:0]
        self._remember(keys, others, fresh)
        found = known | dict(zip(others, fresh, strict=True))
        return torch.stack([found[i] for i in range(len(rows))]).view(*h.shape[:-1], -1)

    def forget(self) -> None:
        """Let go of the text and its logits."""
        with self.lock:
            self._kept, self._n_kept = None, 0
            self._logits = {}

    def _keep(self, trace: Trace) -> None:
        if not all(bool(x.isfinite().all()) for x in trace.activations.values()):
            return
        self._kept = trace
        streams = [x for x in trace.activations.values() if x.shape[2:] == (self.spec.d_model,)]
        for key in (key for x in streams for key in _bytes(x.flatten(0, 1))):
            self._logits.setdefault((False, key), None)
            self._logits.setdefault((True, key), None)

    def _remember(self, keys: list[_Key], which: list[int], logits: Tensor) -> None:
        """Keep the logits of rows that belong to the text; copies, as callers may write to them."""
        some = [(j, keys[i]) for j, i in enumerate(which) if keys and keys[i] in self._logits]
        if not some or self._n_kept + len(some) * logits.shape[-1] > _BUDGET:
            return
        kept = logits[[j for j, _ in some]]
        if bool(kept.isfinite().all()):
            self._n_kept += kept.numel()
            self._logits |= {key: x for (_, key), x in zip(some, kept, strict=True)}


def _is_same(tokens: Tokens, kept: Tokens) -> bool:
    if tokens.ids.shape != kept.ids.shape:
        return False
    pairs = ((tokens.ids, kept.ids), (tokens.mask, kept.mask))
    return all(torch.equal(a.cpu(), b.cpu()) for a, b in pairs)


def _bytes(rows: Float[Tensor, "n d_model"]) -> list[bytes]:
    """Return the bytes of each row; none where reading them would make a device wait."""
    if rows.device.type != "cpu" or not rows.is_floating_point():
        return []
    data = rows.detach().contiguous().view(torch.uint8).numpy()
    return [row.tobytes() for row in data]
