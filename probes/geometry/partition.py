"""Partition isotropy: how evenly exp(cᵀx) adds up over directions c."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class LogPartition:
    """ln(min Z/max Z), and the same without each group of texts, directions held fixed."""

    value: float
    left_out: Float[np.ndarray, " group"]


def log_partition(
    x: Float[np.ndarray, "n d_model"],
    directions: Float[np.ndarray, "d_model d_model"],
    groups: Int[np.ndarray, " n"],
) -> LogPartition:
    """Return ln min Z(c) − ln max Z(c) over both signs of each direction (columns), in nats.

    Z(c) = Σ exp(cᵀx), by log-sum-exp, so that large norms do not overflow.

    Source: Mu & Viswanath 2018; both signs of every eigenvector, because one sign of the
    shifted Gaussian N(μ, σ²I) gives exp(−‖μ‖) and both give exp(−2‖μ‖).
    """
    along = x @ directions
    present = np.unique(groups)
    parts = np.stack([_both_signs(along[groups == g]) for g in present])
    left_out = [_spread(np.delete(parts, i, axis=0)) for i in range(len(present))]
    return LogPartition(
        value=_spread(parts),
        left_out=np.array(left_out) if len(present) > 1 else np.zeros(0),
    )


def gaussian_log_partition(along: Float[np.ndarray, "n d_model"], sigma: float) -> float:
    """Return ln(min Z/max Z) of a standard Gaussian draw, already projected, times sigma."""
    return _spread(_both_signs(along * sigma)[None])


def _both_signs(along: NDArray[np.float64]) -> NDArray[np.float64]:
    both = torch.from_numpy(along)
    sums: NDArray[np.float64] = torch.cat([both.logsumexp(0), (-both).logsumexp(0)]).numpy()
    return sums


def _spread(parts: NDArray[np.float64]) -> float:
    log_z = torch.from_numpy(parts).logsumexp(0)
    return float(log_z.max() - log_z.min()) * -1
