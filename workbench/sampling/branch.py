"""One continuation: what is asked for, and its state while it runs."""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import NotFinite


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


def draw_tokens(
    rows: Sequence[Row],
    p: Float[Tensor, "batch d_vocab"],
    stop_ids: Container[int],
    *,
    greedy: bool,
) -> None:
    """Append one token to every row that has not ended, each from its own generator.

    The tokens are those of `torch.multinomial` on each row alone, fetched in one copy.

    Raises:
        NotFinite: a distribution is none.
    """
    race = p
    if not greedy:
        race = torch.ones_like(p)
        for row, own in zip(rows, race, strict=True):
            if not row.is_done:
                own.exponential_(generator=row.generator)
        race = p / race
    found = torch.stack([race.argmax(dim=-1).double(), p.sum(dim=-1).double()]).tolist()
    for row, token, mass in zip(rows, map(int, found[0]), found[1], strict=True):
        if row.is_done:
            continue
        if not (math.isfinite(mass) and mass > 0):
            raise NotFinite(
                f"the next token after {len(row.before) + len(row.tokens)} tokens has a "
                f"distribution of mass {mass}",
                hint="float16 overflows in some models: try bfloat16 or float32",
            )
        row.tokens.append(token)
        row.stopped = token in stop_ids
