"""How close to left to right a decoder filled its positions, from the step of each."""

import numpy as np
from jaxtyping import Int
from scipy.stats import kendalltau


def global_arness(fixed_at: Int[np.ndarray, " pos"], k: int, *, in_order: bool = True) -> float:
    """Return the share of positions that were among the k leftmost hidden ones when filled.

    `in_order`: the positions of one step are judged one after the other from the left, so that a
    step that fills the leftmost ones at once is in order. Otherwise all are judged by what was
    hidden before their step. The two agree at one position a step.

    Source: DiffuCoder, arXiv:2506.20639, section 4.1, global AR-ness@k.
    """
    steps = ranks(fixed_at) if in_order else np.asarray(fixed_at)
    left = np.tril(np.ones((len(steps), len(steps)), dtype=bool), -1)
    hidden_before = (left & (steps[None, :] >= steps[:, None])).sum(axis=1)
    return float((hidden_before < k).mean())


def local_arness(fixed_at: Int[np.ndarray, " pos"], k: int, *, in_order: bool = True) -> float:
    """Return the share of positions that continued a left-to-right run of length k when filled.

    Position i does where i − j was filled j steps earlier, for j = 1 … k. The first k of a text
    have no such run before them and are not counted, so that a left-to-right order scores 1.
    `in_order` as in `global_arness`. Undefined for texts of k positions or fewer.

    Source: DiffuCoder, arXiv:2506.20639, section 4.1, local AR-ness@k; theirs counts the first.
    """
    steps, n = ranks(fixed_at) if in_order else np.asarray(fixed_at), len(fixed_at)
    if n <= k:
        return float("nan")
    runs = [(steps[k:] - steps[k - j : n - j]) == j for j in range(1, k + 1)]
    # A position among the first k to be filled has too few steps before it.
    late = ranks(fixed_at) >= k
    return float(np.all(runs, axis=0).sum() / late.sum())


def ranks(fixed_at: Int[np.ndarray, " pos"]) -> Int[np.ndarray, " pos"]:
    """Return the place of each position in the order of filling, one step from the left."""
    return np.argsort(np.argsort(fixed_at, kind="stable"), kind="stable")


def kendall(fixed_at: Int[np.ndarray, " pos"]) -> float:
    """Return Kendall's τ-b of step and position: 1 left to right, −1 right to left, 0 no order."""
    if len(set(fixed_at.tolist())) < 2:
        return float("nan")
    return float(kendalltau(np.arange(len(fixed_at)), fixed_at).statistic)


def expected_global(length: int, k: int) -> float:
    """Return the mean of global AR-ness@k over all orders, Σ min(1, k/m) / L: H_L/L at 1."""
    m = np.arange(1, length + 1)
    return float(np.minimum(1.0, k / m).mean())
