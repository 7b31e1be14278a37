"""Speculative decoding: several drafted tokens are judged in one call of the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reasoning.candidates import candidate_row
from workbench.errors import BadOption
from workbench.model.own_loop import RowText
from workbench.model.policy import GREEDY, Host, Policy, ReadsNothing, Sampling, draw
from workbench.model.row_run import RowRun
from workbench.sampling.acceptance import Verified, verify


@dataclass(frozen=True, kw_only=True, eq=False)
class Drafted:
    """Continuations of a text side by side, −1 behind the end of a short one.

    `p` are the probabilities each token was drawn with, independently for every path; without
    them drafts were chosen by any rule and are compared with what the model itself writes.
    """

    paths: Int[Tensor, "k length"]
    p: Float[Tensor, "k length d_vocab"] | None = None


@runtime_checkable
class Drafter(Protocol):
    """The state of a draft during one text."""

    def propose(self, ids: Sequence[int], length: int, generator: torch.Generator) -> Drafted:
        """Draft at most `length` tokens behind a text."""


@runtime_checkable
class Draft(Protocol):
    """A frozen recipe for drafts."""

    def begin(self, model: Host, base: Sampling) -> Drafter:
        """Start a text of that model, whose tokens are chosen by `base`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """One call of the model: what was drafted, and how much of it was kept.

    `p` are the model's own probabilities of the drafted tokens, `draft_p` the draft's, None where
    it has none.
    """

    step: int
    paths: tuple[tuple[int, ...], ...]
    p: tuple[tuple[float, ...], ...]
    draft_p: tuple[tuple[float, ...], ...] | None
    tokens: tuple[int, ...]
    path: int
    added_p: float

    @property
    def accepted(self) -> int:
        """How many drafted tokens were kept."""
        return len(self.tokens) - 1

    def told(self) -> list[dict[str, Any]]:
        """Return the drafted tokens of the path that was followed, then the one added.

        The penalty is the draft's probability, the score the chance of acceptance.
        """
        rows = [self._row(at) for at, token in enumerate(self.paths[self.path]) if token >= 0]
        last = self.tokens[-1]
        added = candidate_row(last, p=self.added_p, penalty=None, score=None, chosen=True)
        return [*rows, added]

    def _row(self, at: int) -> dict[str, Any]:
        p, kept = self.p[self.path][at], at < self.accepted
        draft_p = None if self.draft_p is None else self.draft_p[self.path][at]
        token_id = self.paths[self.path][at]
        score = float(kept) if draft_p is None else min(1.0, p / draft_p)
        return candidate_row(token_id, p=p, penalty=draft_p, score=score, chosen=kept)


@dataclass(frozen=True, kw_only=True)
class Speculative(ReadsNothing):
    """Let a draft write ahead, judge it in one call, keep what the model could have written.

    The distribution of the text is exactly that of `base` under the model alone. Drafts that
    were drawn are judged by K-SEQ (one path: accept with min(1, q/p)), others by comparing them
    with the tokens that the model draws itself; these are, with the same seed, the tokens of
    plain generation. `length` 0 is plain generation.

    Source: Leviathan et al. 2023, arXiv:2211.17192; Sun et al. 2023, SpecTr, arXiv:2310.15141
    (K-SEQ); Liu et al. 2024, ADED, arXiv:2407.12021 (exact match).

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    draft: Draft
    base: Sampling = GREEDY
    length: int = 4

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if self.length < 0:
            raise BadOption(f"length is {self.length}; expected 0 or more drafted tokens")

    @property
    def plain(self) -> Policy | None:
        """Without drafts it is the base policy."""
        return None if self.length else self.base

    def write(self, run: RowRun, text: RowText, generator: torch.Generator) -> None:
        drafter = self.draft.begin(run.model, self.base)
        while text.ended is None:
            # One token is always drawn, so that a draft never reaches the limit.
            length = min(self.length, text.room - 1)
            drafted = drafter.propose(text.ids, length, generator)
            logits = run.logits(text.ids, drafted.paths)
            q = self._distribution(logits)
            found = _judge(drafted, q, generator)
            run.keep([int(found.path[0])])
            tokens = [token for token in found.tokens[0].tolist() if token >= 0]
            step = len(text.written)
            text.add(tokens, _logprobs(logits[int(found.path[0])], tokens))
            text.records.append(_call(step, drafted, q, found, tokens))

    def _distribution(self, logits: Float[Tensor, "k pos d_vocab"]) -> Tensor:
        flat = self.base.distribution(logits.flatten(0, 1))
        return flat.view(logits.shape)


def _judge(
    drafted: Drafted, q: Float[Tensor, "k pos d_vocab"], generator: torch.Generator
) -> Verified:
    if drafted.p is not None:
        return verify(drafted.p[None], q[None], drafted.paths[None].to(q.device), generator)
    alive, path, tokens = list(range(len(drafted.paths))), 0, []
    paths = drafted.paths.tolist()
    for at in range(q.shape[1]):
        path = alive[0]
        tokens.append(int(draw(q[path, at][None], [generator])))
        alive = [i for i in alive if at < len(paths[i]) and paths[i][at] == tokens[-1]]
        if not alive:
            break
    written = torch.full((1, q.shape[1]), -1)
    written[0, : len(tokens)] = torch.tensor(tokens)
    return Verified(
        tokens=written, accepted=torch.tensor([len(tokens) - 1]), path=torch.tensor([path])
    )


def _logprobs(logits: Float[Tensor, "pos d_vocab"], tokens: Sequence[int]) -> Float[Tensor, " n"]:
    rows = logits[: len(tokens)].float()
    ids = torch.tensor(tokens, device=rows.device)[:, None]
    return rows.gather(1, ids)[:, 0] - rows.logsumexp(dim=-1)


def _call(step: int, drafted: Drafted, q: Tensor, found: Verified, tokens: Sequence[int]) -> Call:
    def of(p: Tensor) -> tuple[tuple[float, ...], ...]:
        ids = drafted.paths.to(p.device)
        picked = p[:, : ids.shape[1]].gather(2, ids.clamp(min=0)[..., None])[..., 0]
        return tuple(map(tuple, picked.tolist()))

    return Call(
        step=step,
        paths=tuple(map(tuple, drafted.paths.tolist())),
        p=of(q),
        draft_p=None if drafted.p is None else of(drafted.p),
        tokens=tuple(tokens),
        path=int(found.path[0]),
        added_p=float(q[int(found.path[0]), len(tokens) - 1, tokens[-1]]),
    )
