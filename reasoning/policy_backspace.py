"""Decoding with a backspace: one token of the vocabulary takes back the token before it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from reasoning.candidates import candidate_row
from workbench.errors import BadOption
from workbench.model.own_loop import RowText
from workbench.model.policy import GREEDY, Policy, ReadsNothing, Sampling, draw
from workbench.model.row_run import RowRun


@dataclass(frozen=True, kw_only=True)
class Edited:
    """One action: the token chosen, log P(backspace) in nats, and the length after it."""

    token: int
    p: float
    log_p_back: float
    length: int
    is_back: bool

    def told(self) -> list[dict[str, Any]]:
        """Return the action as plain values; the penalty is log P(backspace)."""
        penalty, score = self.log_p_back, float(self.length)
        chosen = not self.is_back
        return [candidate_row(self.token, p=self.p, penalty=penalty, score=score, chosen=chosen)]


@dataclass(frozen=True, kw_only=True)
class Backspace(ReadsNothing):
    """Write a text in which the token `token` takes back the last one written.

    The state is the text after the edits: cache and positions are rolled back with it. At the
    beginning it does nothing. `bias` nats are added to its logit, for models that never learnt
    it. A text ends after `actions` choices per token of its limit at the latest. Without `token`
    it is `base`.

    Source: Cundy & Ermon 2023, SequenceMatch, arXiv:2306.05426, section 3.2. We train nothing.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    token: int | None = None
    bias: float = 0.0
    actions: int = 4
    base: Sampling = GREEDY

    def __post_init__(self) -> None:
        """Refuse settings out of bounds."""
        if self.actions < 1 or (self.token is not None and self.token < 0):
            raise BadOption(
                f"actions is {self.actions}, token {self.token}; expected at least 1, and 0 or more"
            )

    @property
    def plain(self) -> Policy | None:
        """Without a backspace it is the base policy."""
        return self.base if self.token is None else None

    def write(self, run: RowRun, text: RowText, generator: torch.Generator) -> None:
        back = self.token or 0
        if back >= run.model.spec.d_vocab:
            raise BadOption(f"token is {back}; {run.model.spec.name} has {run.model.spec.d_vocab}")
        for _ in range(self.actions * text.limit):
            if text.ended is not None:
                return
            logits = run.logits(text.ids)[:, -1].float()
            logprobs = logits.log_softmax(dim=-1)
            logits[:, back] += self.bias
            p = self.base.distribution(logits)
            token = int(draw(p, [generator]))
            if token == back:
                text.take_back()
            else:
                text.add([token], [float(logprobs[0, token])])
            text.records.append(
                Edited(
                    token=token,
                    p=float(p[0, token]),
                    log_p_back=float(logits.log_softmax(dim=-1)[0, back]),
                    length=len(text.written),
                    is_back=token == back,
                )
            )
        text.ended = text.ended or "policy"


def fold(actions: Sequence[int], back: int) -> list[int]:
    """Return the text that actions leave: a backspace takes back a token, or nothing at first."""
    text: list[int] = []
    for action in actions:
        if action != back:
            text.append(action)
        elif text:
            text.pop()
    return text
