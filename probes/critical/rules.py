"""Which token decided: the paper's rule, its curtailed twin, and the sequential test.

Positions count response tokens: position i is the prefix y_1 … y_i. Counts are successes among
a fixed number of continuations.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

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

    Feed outcomes in the order of their draw numbers with `record`; `open` lists the positions
    whose outcome still matters, deepest first. A position is settled by its fourth success or
    by all its draws; the scan ends as soon as the decision cannot change any more.
    """

    def __init__(self, positions: Sequence[int], *, draws: int = 64) -> None:
        """Scan these positions with at most `draws` continuations each."""
        self.positions = sorted(positions, reverse=True)
        self.draws = draws
        self.wins = dict.fromkeys(self.positions, 0)
        self.spent = dict.fromkeys(self.positions, 0)

    def record(self, position: int, *, success: bool) -> None:
        """Count one outcome, unless the position is settled already."""
        if not self.settled(position):
            self.spent[position] += 1
            self.wins[position] += success

    def settled(self, position: int) -> bool:
        """Whether further draws at a position can no longer matter."""
        return self.wins[position] >= ALIVE_AT or self.spent[position] >= self.draws

    def need(self, position: int) -> int:
        """Return at most how many more draws can matter at a position."""
        return 0 if self.settled(position) else self.draws - self.spent[position]

    def open(self) -> list[int]:
        """Return unsettled positions, deepest first; empty once the decision is known."""
        if self.decision() is not None:
            return []
        return [position for position in self.positions if not self.settled(position)]

    def decision(self) -> Decision | None:
        """Return the decision when it is certain, None before."""
        zero: int | None = None
        segment_is_last = True
        for position in self.positions:
            if not self.settled(position):
                return None
            if self.wins[position] >= ALIVE_AT:
                if zero is not None:
                    return Decision(position=zero, fallback=not segment_is_last)
                segment_is_last = False
            elif self.wins[position] == 0:
                zero = position
        if zero is None:
            return Decision(position=None)
        return Decision(
            position=zero, fallback=not segment_is_last, hopeless=not any(self.wins.values())
        )


@dataclass(frozen=True, kw_only=True)
class SequentialTest:
    """Wald's ratio test of success rate `dead` against `alive` with equal error rates.

    Source: Wald 1945; steps +log(alive/dead) per success and log((1-alive)/(1-dead)) per
    failure, bounds ± log((1-error)/error).
    """

    dead: float = 0.01
    alive: float = 0.20
    error: float = 0.05

    def __post_init__(self) -> None:
        """Refuse rates that do not part the two hypotheses."""
        if not 0 < self.dead < self.alive < 1 or not 0 < self.error < 0.5:
            raise BadOption(
                f"sequential test of {self.dead} against {self.alive} with error {self.error}; "
                "expected 0 < dead < alive < 1 and 0 < error < 0.5"
            )

    @property
    def success_step(self) -> float:
        """What one success adds."""
        return math.log(self.alive / self.dead)

    @property
    def failure_step(self) -> float:
        """What one failure adds (negative)."""
        return math.log((1 - self.alive) / (1 - self.dead))

    @property
    def bound(self) -> float:
        """Where the test stops."""
        return math.log((1 - self.error) / self.error)

    def verdict(self, wins: int, draws: int) -> Literal["alive", "dead", "open"]:
        """Return what the outcomes so far say."""
        score = wins * self.success_step + (draws - wins) * self.failure_step
        if score >= self.bound:
            return "alive"
        return "dead" if score <= -self.bound else "open"


class Screening:
    """The backward scan with the sequential test at every position instead of all draws."""

    def __init__(self, positions: Sequence[int], *, test: SequentialTest, limit: int = 64) -> None:
        """Screen these positions, each with at most `limit` draws."""
        self.positions = sorted(positions, reverse=True)
        self.test, self.limit = test, limit
        self.wins = dict.fromkeys(self.positions, 0)
        self.spent = dict.fromkeys(self.positions, 0)
        self._confirmed: set[int] = set()

    def confirm(self, position: int, *, wins: int, draws: int) -> None:
        """Replace a position's outcomes by complete ones, which the paper's threshold judges."""
        self.wins[position], self.spent[position] = wins, draws
        self._confirmed.add(position)

    def is_confirmed(self, position: int) -> bool:
        """Whether a position has had all its draws."""
        return position in self._confirmed

    def record(self, position: int, *, success: bool) -> None:
        """Count one outcome, unless the position is settled already."""
        if self.verdict(position) == "open":
            self.spent[position] += 1
            self.wins[position] += success

    def verdict(self, position: int) -> Literal["alive", "dead", "open"]:
        """Return a position's state; undecided ones at the limit go by the paper's threshold."""
        if position in self._confirmed:
            return "alive" if self.wins[position] >= ALIVE_AT else "dead"
        found = self.test.verdict(self.wins[position], self.spent[position])
        if found == "open" and self.spent[position] >= self.limit:
            return "alive" if self.wins[position] >= ALIVE_AT else "dead"
        return found

    def need(self, position: int) -> int:
        """Return how many failures in a row would settle a position."""
        wins, spent = self.wins[position], self.spent[position]
        more = 0
        while spent + more < self.limit and self.test.verdict(wins, spent + more) == "open":
            more += 1
        return more

    def open(self) -> list[int]:
        """Return the positions to draw at, deepest first, down to the first alive one."""
        waiting = []
        for position in self.positions:
            verdict = self.verdict(position)
            if verdict == "alive":
                break
            if verdict == "open":
                waiting.append(position)
        return waiting

    def candidate(self) -> int | None:
        """Return the first dead position after the last alive one, once nothing is open.

        A confirmed position with one to three successes is neither: it is passed over, as in
        the paper's rule.
        """
        found = None
        for position in self.positions:
            if self.verdict(position) == "alive":
                return found
            if not (position in self._confirmed and self.wins[position]):
                found = position
        return found


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
