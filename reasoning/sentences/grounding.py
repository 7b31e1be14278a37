"""Encoding again what was decoded: nothing that was read before is read twice."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from reasoning.sentences.row import Row
from workbench.sampling.flops import Size
from workbench.training.codec import SentenceCodec
from workbench.training.lines import block
from workbench.training.network import CachedRun


class Grounding:
    """The codec's reading of the questions and of the sentences written so far.

    A contextual vector of step t is the state *before* sentence t, so sentence t itself is read
    one step later; a semantic one reads sentence t alone.
    """

    def __init__(self, codec: SentenceCodec, size: Size) -> None:
        """Begin with nothing read."""
        self._codec, self._size = codec, size
        self._run: CachedRun | None = None
        self._sentences, self._tokens = 0, list[int]()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with those rows only."""
        if self._run is not None:
            self._run.keep(rows)
            self._tokens = [self._tokens[i] for i in rows]

    @torch.no_grad()
    def encode(self, rows: Sequence[Row]) -> Float[Tensor, "batch d_model"]:
        """Return the vector of each row's newest sentence."""
        if self._codec.space == "semantic":
            return self._append(CachedRun(self._codec.network, len(rows)), rows, self._newest(rows))
        new = [self._unread(row) for row in rows]
        if self._run is None:
            self._run = CachedRun(self._codec.network, len(rows))
            self._tokens = [0] * len(rows)
            new = [[*row.question, *ids] for row, ids in zip(rows, new, strict=True)]
            for row in rows:
                row.count("prefill", self._size.run(len(row.question)))
        found = self._append(self._run, rows, new)
        self._sentences = len(rows[0].vectors) - 1
        self._tokens = [n + len(ids) for n, ids in zip(self._tokens, new, strict=True)]
        return found

    def _append(
        self, run: CachedRun, rows: Sequence[Row], new: Sequence[Sequence[int]]
    ) -> Float[Tensor, "batch d_model"]:
        ids, mask = block(new, self._codec.lines.pad)
        for i, row in enumerate(rows):
            seen = self._tokens[i] if run is self._run else 0
            asked = len(row.question) if run is self._run and not seen else 0
            cost = self._size.run(len(new[i]) - asked, before=seen + asked)
            row.count("reasoning", cost)
        return run.append(self._codec.network.embed(ids), mask)

    def _newest(self, rows: Sequence[Row]) -> list[list[int]]:
        return [self._ids(row, len(row.vectors) - 1) for row in rows]

    def _unread(self, row: Row) -> list[int]:
        """Return the sentences before the newest that have not been read."""
        steps = range(self._sentences, len(row.vectors) - 1)
        return [i for at in steps for i in self._ids(row, at)]

    def _ids(self, row: Row, at: int) -> list[int]:
        said = row.said[at]
        return self._codec.lines.closed(said.ids if said else ())
