"""The sequential test of success rates, and the backward scan that goes by it."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from probes.critical.rules import ALIVE_AT
from workbench.errors import BadOption


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
    """The backward scan with the sequential test at every position instead of all draws.

    A position in `tied` is followed by a token that the sampling policy is all but certain to
    draw: its success rate is that of the next position, whose verdict it shares undrawn.
    """

    def __init__(
        self,
        positions: Sequence[int],
        *,
        test: SequentialTest,
        limit: int = 64,
        tied: Collection[int] = (),
    ) -> None:
        """Screen these positions, each with at most `limit` draws."""
        self.tied = {i for i in tied if i + 1 in positions}
        self.positions = sorted(positions, reverse=True)
        self.test, self.limit = test, limit
        self.wins = dict.fromkeys(self.positions, 0)
        self.spent = dict.fromkeys(self.positions, 0)
        self._confirmed: set[int] = set()

    def shares_verdict(self, position: int) -> bool:
        """Whether a position goes by the draws of the next one."""
        return position in self.tied and not self.spent[position]

    def confirm(self, position: int, *, wins: int, draws: int) -> None:
        """Replace a position's outcomes by those that settle it by the paper's threshold."""
        self.wins[position], self.spent[position] = wins, draws
        self._confirmed.add(position)

    def is_confirmed(self, position: int, *, exactly: bool = False) -> bool:
        """Whether a position was settled by the paper's rule; `exactly`: by all its draws."""
        is_enough = not exactly or self.wins[position] > 0 or self.spent[position] >= self.limit
        return position in self._confirmed and is_enough

    def record(self, position: int, *, success: bool) -> None:
        """Count one outcome, unless the position is settled already."""
        if self.verdict(position) == "open":
            self.spent[position] += 1
            self.wins[position] += success

    def verdict(self, position: int) -> Literal["alive", "dead", "open"]:
        """Return a position's state; undecided ones at the limit go by the paper's threshold."""
        if self.shares_verdict(position):
            return self.verdict(position + 1)
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

    def pending(self) -> list[int]:
        """Return the positions to draw at, deepest first, down to the first alive one."""
        waiting = []
        for position in self.positions:
            verdict = self.verdict(position)
            if verdict == "alive":
                break
            if verdict == "open" and not self.shares_verdict(position):
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
