"""One continuation: what is asked for, and its state while it runs."""

from collections.abc import Container
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One continuation to draw: after `position` response tokens, the `draw`-th time.

    `banned` is a token whose probability is set to zero for the first draw only, and the rest
    renormalised. `full` draws that first token from the whole distribution at temperature 1
    instead of the policy's.
    """

    position: int
    draw: int
    banned: int | None = None
    full: bool = False


@dataclass(kw_only=True)
class Row:
    """The tokens of one branch so far, at most `limit`, and the generator they are drawn with.

    `before` are the tokens that it continues.
    """

    branch: Branch
    before: tuple[int, ...]
    generator: torch.Generator
    limit: int
    tokens: list[int] = field(default_factory=list)
    stopped: bool = False

    @property
    def is_done(self) -> bool:
        """Whether the row has ended."""
        return self.stopped or len(self.tokens) >= self.limit

    def draw(self, p: Float[Tensor, " d_vocab"], stop_ids: Container[int], *, greedy: bool) -> None:
        """Append one token."""
        picked = p.argmax() if greedy else torch.multinomial(p, 1, generator=self.generator)
        token = int(picked)
        self.tokens.append(token)
        self.stopped = token in stop_ids
