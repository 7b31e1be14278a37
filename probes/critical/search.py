"""One trajectory examined: where it was decided, at what cost, and what else it could have said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from probes.critical.offpath import OffPath, estimate_curve
from probes.critical.rollouts import GradedRollouts, Outcome
from probes.critical.rules import ALIVE_AT, BackwardScan, Decision, forward_rule
from probes.critical.screening import Screening, SequentialTest
from workbench.result.intervals import proportion_interval
from workbench.sampling.branch import Branch

Mode = Literal["screening", "paper-identical", "exhaustive", "off-path"]
CERTAIN = 0.999
"""A token at least this probable ties its position to the one before in screening."""

OFF_PATH_SHARE = 0.25
"""Off-path mode spends this share of what exhaustive rollouts would cost."""


@dataclass(frozen=True, kw_only=True)
class PositionSuccess:
    """The success probability after i response tokens, with its interval and its draws."""

    position: int
    p: float | None
    low: float | None
    high: float | None
    wins: int
    draws: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Search:
    """The decision, the curve as far as it is known, and what both cost.

    `draws` counts continuations used for the decision, `exhaustive` what every position with
    all draws would take. `q[i]` is the policy's probability of token i + 1, `entropy[i]` that
    of the model's own next-token distribution, in nats.
    """

    decision: Decision
    points: tuple[PositionSuccess, ...]
    draws: int
    exhaustive: int
    q: Float[np.ndarray, " pos"]
    entropy: Float[np.ndarray, " pos"]


@dataclass(frozen=True, kw_only=True)
class Forced:
    """Continuations with one token forbidden: the critical one, or one at random as control."""

    kind: Literal["critical", "random"]
    position: int
    outcomes: tuple[Outcome, ...]

    @property
    def wins(self) -> int:
        """How many of them are right."""
        return sum(outcome.success for outcome in self.outcomes)


def locate(
    rollouts: GradedRollouts, *, mode: Mode, draws: int, generator: np.random.Generator
) -> Search:
    """Find the critical position of one trajectory.

    Positions run from one token into the response up to, not including, its final token.
    """
    response = rollouts.trajectory.response
    positions = range(1, max(len(response), 2))
    if mode == "off-path":
        budget = round(OFF_PATH_SHARE * draws * len(positions))
        first = max(4, draws // 16)
        curve = estimate_curve(rollouts, budget=budget, first=first, generator=generator)
        decision, points = _from_curve(curve, positions), _curve_points(curve)
    else:
        decision, points = _SEARCHES[mode](rollouts, positions, draws)
    q, entropy = _token_facts(rollouts)
    return Search(
        decision=decision,
        points=points,
        draws=len(rollouts.used),
        exhaustive=draws * len(positions),
        q=q,
        entropy=entropy,
    )


def force_alternatives(
    rollouts: GradedRollouts, critical: int, *, draws: int, generator: np.random.Generator
) -> tuple[Forced, ...]:
    """Forbid the critical token, and as control a random other one, and complete `draws` times.

    The replacement comes from the full distribution at temperature 1 without that token, the
    rest from the sampling policy. Source: Lin et al. 2025, section 2 (forced alternative); the
    random-position control is ours.
    """
    response = rollouts.trajectory.response
    others = [i for i in range(1, len(response) + 1) if i != critical]
    chosen: list[tuple[Literal["critical", "random"], int]] = [("critical", critical)]
    if others:
        chosen.append(("random", int(generator.choice(others))))
    forced = []
    for kind, position in chosen:
        branches = [
            Branch(position=position - 1, draw=k, banned=response[position - 1], full=True)
            for k in range(draws)
        ]
        outcomes = tuple(rollouts.draw(branches).values())
        forced.append(Forced(kind=kind, position=position, outcomes=outcomes))
    return tuple(forced)


def _exhaustive(
    rollouts: GradedRollouts, positions: Sequence[int], draws: int
) -> tuple[Decision, tuple[PositionSuccess, ...]]:
    branches = [Branch(position=i, draw=k) for i in positions for k in range(draws)]
    counts = dict.fromkeys(positions, 0)
    for branch, outcome in rollouts.draw(branches).items():
        counts[branch.position] += outcome.success
    return forward_rule(counts), _points(counts, dict.fromkeys(positions, draws))


def _paper_identical(
    rollouts: GradedRollouts, positions: Sequence[int], draws: int
) -> tuple[Decision, tuple[PositionSuccess, ...]]:
    scan = BackwardScan(positions, draws=draws)
    rollouts.drive(scan)
    decision = scan.decision() or Decision(position=None)
    return decision, _points(scan.wins, scan.spent)


def _screening(
    rollouts: GradedRollouts, positions: Sequence[int], draws: int
) -> tuple[Decision, tuple[PositionSuccess, ...]]:
    """Screen by sequential tests, then confirm the winner and its neighbours by the paper's rule.

    The winner gets all draws, a neighbour as many as settle whether it is above 5 %. When the
    confirmation contradicts the screening (the candidate succeeds, or the position before it is
    as dead), the scan goes on with the confirmed counts.
    """
    q, _ = _token_facts(rollouts)
    tied = [i for i in positions if i < len(q) and q[i] >= CERTAIN]
    screen = Screening(positions, test=SequentialTest(), limit=draws, tied=tied)
    while True:
        rollouts.drive(screen)
        candidate = screen.candidate()
        if candidate is None:
            break
        near = [i for i in (candidate - 1, candidate, candidate + 1) if i in screen.wins]
        fresh = [i for i in near if not screen.is_confirmed(i, exactly=i == candidate)]
        if not fresh:
            break
        for i in fresh:
            wins, done = _confirmed(rollouts, i, draws, exactly=i == candidate)
            screen.confirm(i, wins=wins, draws=done)
    hopeless = candidate is not None and not any(screen.wins.values())
    decision = Decision(position=candidate, hopeless=hopeless)
    return decision, _points(screen.wins, screen.spent)


def _confirmed(
    rollouts: GradedRollouts, position: int, draws: int, *, exactly: bool
) -> tuple[int, int]:
    """Return successes and draws: all draws, or as many as settle whether there will be four."""
    wins = done = 0
    while done < draws:
        left = draws - done
        if not exactly and (wins >= ALIVE_AT or wins + left < ALIVE_AT):
            break
        n = left if exactly else min(left, max(ALIVE_AT - wins, done))
        branches = [Branch(position=position, draw=k) for k in range(done, done + n)]
        wins += sum(o.success for o in rollouts.draw(branches).values())
        done += n
    return wins, done


_SEARCHES = {
    "exhaustive": _exhaustive,
    "paper-identical": _paper_identical,
    "screening": _screening,
}


def _points(wins: dict[int, int], spent: dict[int, int]) -> tuple[PositionSuccess, ...]:
    points = []
    for position in sorted(wins):
        n = spent[position]
        bounds = proportion_interval(wins[position], n) if n else None
        points.append(
            PositionSuccess(
                position=position,
                p=wins[position] / n if n else None,
                low=bounds.low if bounds else None,
                high=bounds.high if bounds else None,
                wins=wins[position],
                draws=n,
            )
        )
    return tuple(points)


def _curve_points(curve: OffPath) -> tuple[PositionSuccess, ...]:
    n = len(curve.q)
    return tuple(
        PositionSuccess(
            position=i,
            p=float(curve.p[i]),
            low=float(curve.low[i]),
            high=float(curve.high[i]),
            wins=int(curve.wins[i]) if i < n else 0,
            draws=int(curve.draws[i]) if i < n else 0,
        )
        for i in range(n + 1)
    )


def _from_curve(curve: OffPath, positions: Sequence[int]) -> Decision:
    """Return the first position after the last one at or above 5 %."""
    alive = [i for i in positions if curve.p[i] >= 0.05]
    after = [i for i in positions if not alive or i > alive[-1]]
    hopeless = not curve.wins.any()
    return Decision(position=after[0] if after else None, hopeless=hopeless)


def _token_facts(
    rollouts: GradedRollouts,
) -> tuple[Float[np.ndarray, " pos"], Float[np.ndarray, " pos"]]:
    trajectory = rollouts.trajectory
    where = list(range(len(trajectory.response)))
    q = trajectory.distribution(where)[where, list(trajectory.response)]
    logp = trajectory.logits(where).log_softmax(dim=-1)
    entropy = -(logp.exp() * logp).sum(dim=-1)
    return q.double().cpu().numpy(), entropy.double().cpu().numpy()
