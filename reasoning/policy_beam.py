"""Beam search, also among the texts of one length or towards what a classifier tells."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reasoning.candidates import candidate_row
from workbench.errors import BadOption
from workbench.model.own_loop import RowText
from workbench.model.policy import GREEDY, Host, Policy, ReadsNothing
from workbench.model.row_run import RowRun

Guide = Callable[[Host, Sequence[Sequence[int]]], Float[Tensor, " text"]]
"""From texts, prompt included, to log p(attribute | text), in nats."""
_Tells = Callable[[Sequence[Sequence[int]]], Float[Tensor, " text"]]


@dataclass(frozen=True, kw_only=True)
class Found:
    """The beams that a search ended with: their tokens and log-probabilities in nats.

    `told_by` is what a guide adds to each: log p(attribute | text).
    """

    texts: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]
    told_by: tuple[float, ...] | None = None

    def told(self) -> list[dict[str, Any]]:
        """Return a row per beam: its last token, p of the whole text, its log and the guide's."""
        exps = [float(torch.tensor(score).exp()) for score in self.scores]
        guided = self.told_by or (None,) * len(self.texts)
        each = zip(self.texts, self.scores, exps, guided, strict=True)
        return [
            candidate_row(text[-1], p=p, penalty=by, score=score, chosen=i == 0)
            for i, (text, score, p, by) in enumerate(each)
        ]


@dataclass(frozen=True, kw_only=True)
class BeamSearch(ReadsNothing):
    """Keep the `width` likeliest beginnings and write the likeliest text that was found.

    With `length` the text has exactly that many tokens before its end token: the end may not come
    earlier and is counted there, so that what is sought is the mode of p(text | length). Without
    it a beam that ends stays as it is, and no length is favoured. A width of 1 without a length is
    greedy decoding, to the bit.

    With a `guide`, a classifier that tells log p(attribute | unfinished text), the beginnings kept
    are those with the largest log p(text) + log p(attribute | text), out of `considered` times as
    many likeliest ones: what is sought is the mode of p(text | attribute).

    Cost: one row per beam at every step, and what the guide costs on every beginning considered.

    Source: Yoshida 2024, Making the Most of your Model, arXiv:2408.16241 (conditional beam
    search). We differ: a length needs no classifier, as its probability is known.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    width: int = 4
    length: int | None = None
    guide: Guide | None = None
    considered: int = 4

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if min(self.width, self.considered, self.length or 1) < 1 or self.length == 0:
            raise BadOption(
                f"width is {self.width}, length {self.length}, considered {self.considered}; "
                "expected at least 1 each"
            )

    @property
    def plain(self) -> Policy | None:
        """One beam that may end anywhere is the greedy policy."""
        is_free = self.length is None and self.guide is None
        return GREEDY if self.width == 1 and is_free else None

    def write(self, run: RowRun, text: RowText, generator: torch.Generator) -> None:
        tells = self._told(run.model, text.ids)
        beams = _Beams(run.logits(text.ids)[:, -1], text.stop_ids, self.length, tells)
        limit = text.room if self.length is None else min(self.length + 1, text.room)
        for step in range(limit):
            parents, tokens = beams.grow(self.width, step, self.considered)
            if beams.are_closed or step + 1 == limit:
                break
            run.keep(parents.tolist())
            beams.logits = run.grow(tokens)
        best, logprobs, found = beams.best()
        text.records.append(found)
        text.add(best, logprobs)
        text.ended = text.ended or "policy"

    def _told(self, model: Host, before: Sequence[int]) -> _Tells | None:
        if (guide := self.guide) is None:
            return None
        return lambda texts: guide(model, [[*before, *own] for own in texts]).double().cpu()


class _Beams:
    """Beginnings side by side; the logits behind each are those of the model."""

    def __init__(
        self,
        logits: Float[Tensor, "one d_vocab"],
        stop_ids: frozenset[int],
        length: int | None,
        tells: _Tells | None,
    ) -> None:
        self.logits, self._tells = logits, tells
        self._stop, self._length = sorted(stop_ids), length
        self._texts: list[list[int]] = [[]]
        self._logprobs: list[list[float]] = [[]]
        self._closed: list[bool] = [False]

    @property
    def are_closed(self) -> bool:
        """Whether every beam has ended."""
        return all(self._closed)

    def grow(
        self, width: int, step: int, considered: int
    ) -> tuple[Int[Tensor, " beam"], Int[Tensor, " beam"]]:
        """Keep the likeliest beginnings one token on; return whose they are, and the tokens."""
        logp = self.logits.float().log_softmax(dim=-1).cpu()
        sums = torch.tensor([sum(x) for x in self._logprobs], dtype=torch.double)
        scores = (sums[:, None] + self._allowed(logp, step)).flatten()
        many = width * considered if self._tells else width
        top = scores.topk(min(many, int(scores.isfinite().sum())))
        parents, tokens = top.indices // logp.shape[1], top.indices % logp.shape[1]
        grown = [
            (self._texts[p], self._logprobs[p], True)
            if self._closed[p]
            else ([*self._texts[p], t], [*self._logprobs[p], float(logp[p, t])], t in self._stop)
            for p, t in zip(parents.tolist(), tokens.tolist(), strict=True)
        ]
        if self._tells:
            total = top.values + self._tells([text for text, _, _ in grown])
            kept = total.topk(min(width, len(total))).indices
            parents, tokens, grown = parents[kept], tokens[kept], [grown[i] for i in kept.tolist()]
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
        sums = [sum(x) for x in self._logprobs]
        by = self._tells(self._texts).tolist() if self._tells else [0.0] * len(sums)
        order = sorted(range(len(sums)), key=lambda i: -sums[i] - by[i])
        found = Found(
            texts=tuple(tuple(self._texts[i]) for i in order),
            scores=tuple(sums[i] for i in order),
            told_by=tuple(by[i] for i in order) if self._tells else None,
        )
        return self._texts[order[0]], self._logprobs[order[0]], found
