"""The whole success curve from branches that leave the trajectory."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from probes.critical.rollouts import GradedRollouts
from probes.critical.rules import success_curve
from workbench.sampling.branch import Branch

_CERTAIN = 1 - 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class OffPath:
    """Off-path wins and draws after i = 0 … T-1 tokens, and the curve p_0 … p_T they give.

    `low` and `high` bound p at 95 %, from Beta(w + ½, n - w + ½) draws of every a_i.
    """

    q: Float[np.ndarray, " pos"]
    wins: Int[np.ndarray, " pos"]
    draws: Int[np.ndarray, " pos"]
    p: Float[np.ndarray, " next"]
    low: Float[np.ndarray, " next"]
    high: Float[np.ndarray, " next"]


def estimate_curve(
    rollouts: GradedRollouts,
    *,
    budget: int,
    first: int,
    generator: np.random.Generator,
) -> OffPath:
    """Spend about `budget` off-path draws: `first` everywhere, the rest where variance is left.

    The share of a position is proportional to the standard deviation it adds to the curve,
    reach_i (1 - q_i) sqrt(a_i (1 - a_i)), reach_i being the mean over earlier positions of the
    probability to stay on the path up to i. Positions whose token is certain get none.
    Source: recursion p_i = q_i p_(i+1) + (1 - q_i) a_i with replacements from the decoding
    policy.
    """
    response = rollouts.trajectory.response
    n_pos = len(response)
    p = rollouts.trajectory.distribution(range(n_pos))
    q = p[range(n_pos), list(response)].double().cpu().numpy()
    off = np.flatnonzero(q < _CERTAIN)
    draws = np.zeros(n_pos, dtype=np.int64)
    draws[off] = first
    wins = _draw(rollouts, draws)
    left = budget - int(draws.sum())
    if left > 0 and len(off):
        draws[off] += np.floor(left * _shares(q, wins, draws, off)).astype(np.int64)
        wins = _draw(rollouts, draws)
    return _curve(q, wins, draws, generator)


def _shares(
    q: Float[np.ndarray, " pos"],
    wins: Int[np.ndarray, " pos"],
    draws: Int[np.ndarray, " pos"],
    off: Int[np.ndarray, " off"],
) -> Float[np.ndarray, " off"]:
    a = (wins[off] + 1) / (draws[off] + 2)
    reach = np.empty(len(q))
    staying = 0.0
    for i, stay in enumerate(q):
        reach[i] = (staying + 1) / (i + 1)
        staying = (staying + 1) * stay
    weight = reach[off] * (1 - q[off]) * np.sqrt(a * (1 - a))
    return np.asarray(weight / weight.sum())


def _draw(rollouts: GradedRollouts, draws: Int[np.ndarray, " pos"]) -> Int[np.ndarray, " pos"]:
    branches = [
        Branch(position=i, draw=k, banned=token)
        for i, token in enumerate(rollouts.trajectory.response)
        for k in range(draws[i])
    ]
    wins = np.zeros(len(draws), dtype=np.int64)
    for branch, outcome in rollouts.draw(branches).items():
        wins[branch.position] += outcome.success
    return wins


def _curve(
    q: Float[np.ndarray, " pos"],
    wins: Int[np.ndarray, " pos"],
    draws: Int[np.ndarray, " pos"],
    generator: np.random.Generator,
    samples: int = 2000,
) -> OffPath:
    a = np.divide(wins, draws, out=np.zeros(len(q)), where=draws > 0)
    beta = generator.beta(wins + 0.5, draws - wins + 0.5, size=(samples, len(q)))
    low, high = np.quantile(success_curve(q, beta), [0.025, 0.975], axis=0)
    p = success_curve(q, a)
    return OffPath(
        q=q, wins=wins, draws=draws, p=p, low=np.minimum(low, p), high=np.maximum(high, p)
    )
