"""Continuations that run side by side behind the keys and values of one shared prefix."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ModelError
from workbench.model.backend import Inputs
from workbench.model.model import Model
from workbench.model.shared_prefix import SharedPrefixCache, branching, shared_prefix
from workbench.sampling.branch import Row


class SharedRows:
    """The rows of the running batch; those that have ended give way to others."""

    def __init__(self, model: Model, prefix: Any, *, rows: int, limit: int) -> None:
        """Make room for that many rows of at most `limit` tokens behind a filled cache."""
        self.rows: list[Row] = []
        self._capacity = rows
        self._model = branching(model)
        self._cache = SharedPrefixCache(prefix, rows=rows, limit=limit)

    @property
    def n_running(self) -> int:
        """The number of rows that have not ended."""
        return sum(not row.is_done for row in self.rows)

    @property
    def room(self) -> int:
        """How many rows can be placed."""
        return self._capacity - self.n_running

    def place(self, fresh: Iterable[Row]) -> None:
        """Let rows run, in the place of those that have ended where there are some."""
        ended = [slot for slot, row in enumerate(self.rows) if row.is_done]
        for row in fresh:
            slot = ended.pop() if ended else len(self.rows)
            self.rows[slot : slot + 1] = [row]
            self._cache.place(slot, len(row.before))

    def step(self) -> Float[Tensor, "batch d_vocab"]:
        """Feed every running row its last token; return the logits of the next, row by row."""
        for slot in reversed(range(len(self.rows))):
            if self.rows[slot].is_done:
                self._cache.replace_by_last(slot)
                self.rows[slot] = self.rows[-1]
                self.rows.pop()
        logits = self._forward()
        self._cache.grow()
        return logits

    def _forward(self) -> Float[Tensor, "batch d_vocab"]:
        ids = torch.tensor([[row.tokens[-1]] for row in self.rows], device=self._model.device)
        inputs = Inputs(
            ids=ids,
            mask=torch.ones_like(ids, dtype=torch.bool),
            position_ids=self._cache.position_ids(),
            cache=self._cache,
        )
        with shared_prefix(self._cache):
            logits = self._model.forward(inputs, logits="last").logits
        if logits is None:
            raise ModelError("the forward pass returned no logits")
        return logits[:, -1].float()
