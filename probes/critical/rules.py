"""Which token decided: the paper's rule and its curtailed twin.

Positions count response tokens: position i is the prefix y_1 … y_i. Counts are successes among
a fixed number of continuations.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from workbench.errors import BadOption

ALIVE_AT = 4
"""A position with this many successes of 64 or more is above 5 %."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The critical position, if any.

    `fallback`: no zero survives every later position; the last discarded candidate is given,
    which meets the first condition only. `hopeless`: no examined position succeeds at all, so
    the prompt, not a token, decided.
    """

    position: int | None
    fallback: bool = False
    hopeless: bool = False


def forward_rule(counts: Mapping[int, int]) -> Decision:
    """Apply the paper's rule to complete counts, left to right.

    A zero opens a candidate; a later count of four or more discards it.
    Source: Lin et al. 2025, arXiv:2411.19943, section 2 and released code.
    """
    candidate = discarded = None
    for position in sorted(counts):
        if counts[position] == 0 and candidate is None:
            candidate = position
        elif counts[position] >= ALIVE_AT and candidate is not None:
            candidate, discarded = None, candidate
    hopeless = not any(counts.values())
    if candidate is not None:
        return Decision(position=candidate, hopeless=hopeless)
    return Decision(position=discarded, fallback=discarded is not None)


class BackwardScan:
    """The same decision from the last position backwards, asking for as few draws as it can.

    Feed outcomes in the order of their draw numbers with `record`; `pending` lists the positions
    whose outcome still matters, deepest first. A position is alive at its fourth success, and not
    alive once its remaining draws cannot bring a fourth. Whether it has no success at all takes
    every draw, and matters only from the first position after an alive one on, until one is found.
    """

    def __init__(self, positions: Sequence[int], *, draws: int = 64) -> None:
        """Scan these positions with at most `draws` continuations each."""
        self.positions = sorted(positions, reverse=True)
        self.draws = draws
        self.wins = dict.fromkeys(self.positions, 0)
        self.spent = dict.fromkeys(self.positions, 0)
        self._exact = self._first_unknown()

    def record(self, position: int, *, success: bool) -> None:
        """Count one outcome, unless all draws of the position are known."""
        if self.spent[position] < self.draws:
            self.spent[position] += 1
            self.wins[position] += success
            self._exact = self._first_unknown()

    def need(self, position: int) -> int:
        """Return at most how many more draws can matter at a position."""
        if self._is_alive(position):
            return 0
        if self._is_settled(position):
            return self.draws - self.spent[position] if position == self._exact else 0
        return self.draws - self.spent[position] - (ALIVE_AT - 1 - self.wins[position])

    def pending(self) -> list[int]:
        """Return positions whose draws may matter, deepest first; empty once all is known.

        Nothing before a position that has shown a success is asked for while anything from
        there on is pending: once it is alive, what comes before can only matter as a fallback.
        """
        waiting: list[int] = []
        if self.decision() is not None:
            return waiting
        for position in self.positions:
            if self.need(position):
                waiting.append(position)
            if waiting and self.wins[position]:
                break
        return waiting

    def decision(self) -> Decision | None:
        """Return the decision when it is certain, None before."""
        for segment in self._segments():
            if segment is None or self._unknown(segment.positions) is not None:
                return None
            zeros = [position for position in segment.positions if not self.wins[position]]
            if zeros:
                return Decision(
                    position=zeros[0],
                    fallback=not segment.is_last,
                    hopeless=not any(self.wins.values()),
                )
        return Decision(position=None)

    def _is_alive(self, position: int) -> bool:
        return self.wins[position] >= ALIVE_AT

    def _is_settled(self, position: int) -> bool:
        remaining = self.draws - self.spent[position]
        return self._is_alive(position) or self.wins[position] + remaining < ALIVE_AT

    def _segments(self) -> Iterator["_Segment | None"]:
        """Yield the positions after each alive one, left to right; None where one is unsettled."""
        found: list[int] = []
        is_last = True
        for position in self.positions:
            if not self._is_settled(position):
                yield None
                return
            if self._is_alive(position):
                yield _Segment(positions=tuple(reversed(found)), is_last=is_last)
                found, is_last = [], False
            else:
                found.append(position)
        yield _Segment(positions=tuple(reversed(found)), is_last=is_last)

    def _unknown(self, positions: Sequence[int]) -> int | None:
        """Return the first position of a segment that may be its first zero, but lacks draws."""
        if not any(self.wins.values()):
            # Without any success the trajectory may be hopeless, which takes every draw.
            return next((p for p in positions if self.spent[p] < self.draws), None)
        for position in positions:
            if not self.wins[position]:
                return position if self.spent[position] < self.draws else None
        return None

    def _first_unknown(self) -> int | None:
        """Return the position that must be known exactly before anything else is of use."""
        for segment in self._segments():
            if segment is None:
                return None
            if (unknown := self._unknown(segment.positions)) is not None:
                return unknown
            if any(not self.wins[position] for position in segment.positions):
                return None
        return None


@dataclass(frozen=True, kw_only=True)
class _Segment:
    positions: tuple[int, ...]
    is_last: bool


def success_curve(
    q: Float[np.ndarray, " pos"], a: Float[np.ndarray, "*draw pos"], *, end: float = 0.0
) -> Float[np.ndarray, "*draw next"]:
    """Return p_0 … p_T from off-path success rates: p_i = q_i p_(i+1) + (1 - q_i) a_i.

    q_i is the policy's probability of token i + 1 after i tokens, a_i the success rate when
    that token is excluded; `end` is p_T, zero for a wrong trajectory.
    """
    shape = (*a.shape[:-1], a.shape[-1] + 1)
    p = np.full(shape, end, dtype=np.float64)
    for i in range(a.shape[-1] - 1, -1, -1):
        p[..., i] = q[i] * p[..., i + 1] + (1 - q[i]) * a[..., i]
    return p


def pass_at_k(wins: int, n: int, k: int) -> float:
    """Return the unbiased chance that k of n draws hold a success: 1 - C(n-c, k)/C(n, k).

    Source: Chen et al. 2021, arXiv:2107.03374.
    """
    if not 1 <= k <= n:
        raise BadOption(f"pass@{k} of {n} draws; expected 1 ≤ k ≤ {n}")
    return 1 - math.comb(n - wins, k) / math.comb(n, k)
