"""Beam search, also among the texts of one length: the likeliest text that ends where asked."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reasoning.candidates import candidate_row
from workbench.errors import BadOption
from workbench.model.own_loop import RowText
from workbench.model.policy import GREEDY, Policy, ReadsNothing
from workbench.model.row_run import RowRun


@dataclass(frozen=True, kw_only=True)
class Found:
    """The beams that a search ended with: their tokens and log-probabilities in nats."""

    texts: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]

    def told(self) -> list[dict[str, Any]]:
        """Return a row per beam: its last token, p of the whole text and its log."""
        exps = [float(torch.tensor(score).exp()) for score in self.scores]
        return [
            candidate_row(text[-1], p=p, penalty=None, score=score, chosen=i == 0)
            for i, (text, score, p) in enumerate(zip(self.texts, self.scores, exps, strict=True))
        ]


@dataclass(frozen=True, kw_only=True)
class BeamSearch(ReadsNothing):
    """Keep the `width` likeliest beginnings and write the likeliest text that was found.

    With `length` the text has exactly that many tokens before its end token: the end may not come
    earlier and is counted there, so that what is sought is the mode of p(text | length). Without
    it a beam that ends stays as it is, and no length is favoured. A width of 1 without a length is
    greedy decoding, to the bit.

    Cost: one row per beam at every step.

    Source: Yoshida 2023, Making the Most of your Model (conditional beam search). We differ: the
    attribute is the length, whose probability given an unfinished text needs no classifier.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    width: int = 4
    length: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if self.width < 1 or (self.length is not None and self.length < 1):
            raise BadOption(
                f"width is {self.width}, length {self.length}; expected at least 1 each"
            )

    @property
    def plain(self) -> Policy | None:
        """One beam that may end anywhere is the greedy policy."""
        return GREEDY if self.width == 1 and self.length is None else None

    def write(self, run: RowRun, text: RowText, generator: torch.Generator) -> None:
        beams = _Beams(run.logits(text.ids)[:, -1], text.stop_ids, self.length)
        limit = text.room if self.length is None else min(self.length + 1, text.room)
        for step in range(limit):
            parents, tokens = beams.grow(self.width, step)
            if beams.are_closed or step + 1 == limit:
                break
            run.keep(parents.tolist())
            beams.logits = run.grow(tokens)
        best, logprobs, found = beams.best()
        text.records.append(found)
        text.add(best, logprobs)
        text.ended = text.ended or "policy"


class _Beams:
    """Beginnings side by side; the logits behind each are those of the model."""

    def __init__(
        self, logits: Float[Tensor, "one d_vocab"], stop_ids: frozenset[int], length: int | None
    ) -> None:
        self.logits = logits
        self._stop, self._length = sorted(stop_ids), length
        self._texts: list[list[int]] = [[]]
        self._logprobs: list[list[float]] = [[]]
        self._closed: list[bool] = [False]

    @property
    def are_closed(self) -> bool:
        """Whether every beam has ended."""
        return all(self._closed)

    def grow(self, width: int, step: int) -> tuple[Int[Tensor, " beam"], Int[Tensor, " beam"]]:
        """Keep the likeliest beginnings one token on; return whose they are, and the tokens."""
        logp = self.logits.float().log_softmax(dim=-1).cpu()
        sums = torch.tensor([sum(x) for x in self._logprobs], dtype=torch.double)
        scores = (sums[:, None] + self._allowed(logp, step)).flatten()
        best = scores.topk(min(width, int(scores.isfinite().sum()))).indices
        parents, tokens = best // logp.shape[1], best % logp.shape[1]
        grown = [
            (self._texts[p], self._logprobs[p], True)
            if self._closed[p]
            else ([*self._texts[p], t], [*self._logprobs[p], float(logp[p, t])], t in self._stop)
            for p, t in zip(parents.tolist(), tokens.tolist(), strict=True)
        ]
        self._texts, self._logprobs, self._closed = map(list, zip(*grown, strict=True))
        return parents, tokens

    def _allowed(
        self, logp: Float[Tensor, "beam d_vocab"], step: int
    ) -> Float[Tensor, "beam d_vocab"]:
        """Return what each token adds: ends where the length says, nothing behind an end."""
        found = logp.double()
        if self._length is not None and self._stop:
            is_stop = torch.zeros(logp.shape[1], dtype=torch.bool)
            is_stop[self._stop] = True
            found[:, ~is_stop if step == self._length else is_stop] = -torch.inf
        for i in [i for i, closed in enumerate(self._closed) if closed]:
            found[i] = -torch.inf
            found[i, self._stop[0]] = 0.0
        return found

    def best(self) -> tuple[list[int], list[float], Found]:
        """Return the likeliest text with the log-probability of each token, and all beams."""
        order = sorted(range(len(self._texts)), key=lambda i: -sum(self._logprobs[i]))
        found = Found(
            texts=tuple(tuple(self._texts[i]) for i in order),
            scores=tuple(sum(self._logprobs[i]) for i in order),
        )
        return self._texts[order[0]], self._logprobs[order[0]], found
