"""Momentum decoding: greedy until a token would be revisited, then the least resistance."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reasoning.candidates import Candidates
from reasoning.repetition import SuffixIndex
from workbench.errors import BadOption
from workbench.model.policy import Choice, Host, ReadsNothing, Step
from workbench.model.tokens import Tokens

GPT2_XL = (1.0, 2.0, 3.0, 4.0, 5.0)


@dataclass(frozen=True, kw_only=True)
class MomentumDecoding(ReadsNothing):
    """Choose argmax p(v) − α·f(ℓ_v) among the k most probable tokens.

    ℓ_v is the number of tokens at the end of the text, v included, that already occurred in
    this order in prompt or output (at most as many as `resistance` has entries, 0 if v is new);
    f(ℓ) is entry ℓ of `resistance`, f(0) = 0. Taking an unseen most probable token outright is
    the same rule, since nothing can beat it.

    Source: Lan et al. 2022, arXiv:2212.02175, section 3; the table is that of their GPT-2 XL
    runs. The table active in their latest code, (0, 0, 0, 5), is a block on 4-grams instead, so
    the table is always explicit here.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    k: int = 5
    alpha: float = 0.2
    resistance: tuple[float, ...] = GPT2_XL

    def __post_init__(self) -> None:
        """Refuse settings out of bounds, all at once."""
        problems = []
        if self.k < 1:
            problems.append(f"k is {self.k}; expected at least 1")
        if self.alpha < 0:
            problems.append(f"alpha is {self.alpha}; expected 0 or more")
        if not self.resistance or min(self.resistance) < 0:
            problems.append(f"resistance is {self.resistance}; expected numbers of 0 or more")
        if problems:
            raise BadOption("; ".join(problems))

    def begin(self, prompt: Tokens, model: Host) -> "_Momentum":
        return _Momentum(self, rows=len(prompt.ids))


class _Momentum:
    def __init__(self, recipe: MomentumDecoding, *, rows: int) -> None:
        self._recipe = recipe
        self._seen = [SuffixIndex(longest=len(recipe.resistance)) for _ in range(rows)]

    def choose(self, step: Step) -> Choice:
        """Choose the next token of every row."""
        recipe = self._recipe
        top = step.logits.topk(min(recipe.k, step.logits.shape[-1]), dim=-1)
        p = (top.values.float() - step.logits.float().logsumexp(dim=-1, keepdim=True)).exp()
        p, ids = p.cpu(), top.indices.cpu()
        repeated = torch.tensor(
            [
                self._lengths(row, history, candidates)
                for row, (history, candidates) in enumerate(
                    zip(step.history, ids.tolist(), strict=True)
                )
            ]
        )
        resistance = torch.tensor((0.0, *recipe.resistance))[repeated]
        score = p - recipe.alpha * resistance
        picked = score.argmax(dim=-1)
        return Choice(
            tokens=ids.gather(1, picked[:, None])[:, 0].to(step.logits.device),
            record=Candidates(
                ids=ids,
                p=p,
                penalty=resistance,
                score=score,
                picked=picked,
                live=torch.tensor(step.live),
                repeated=repeated,
            ),
        )

    def _lengths(self, row: int, history: Sequence[int], candidates: Sequence[int]) -> list[int]:
        index = self._seen[row]
        index.extend(history[len(index) :])
        return [index.repeated(token) for token in candidates]
