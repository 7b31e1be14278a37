"""Partition isotropy: how evenly exp(cᵀx) adds up over directions c."""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

# Up to here exp and its reciprocal are numbers, and sums of them as well.
_PLAIN = 300.0


def log_partition(
    along: Float[Tensor, "layer n d_model"],
    scale: Float[Tensor, " layer"],
    groups: Int[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " layer"], Float[np.ndarray, "layer group"]]:
    """Return ln min Z(c) − ln max Z(c) in nats, and the same without each group of texts.

    Z(c) = Σ exp(cᵀx), by log-sum-exp, so that large norms do not overflow. `along` are the vectors
    projected on the directions c, held fixed, and multiplied by `scale`; both signs of each count.

    Source: Mu & Viswanath 2018; both signs of every eigenvector, because one sign of the
    shifted Gaussian N(μ, σ²I) gives exp(−‖μ‖) and both give exp(−2‖μ‖).
    """
    order = np.argsort(groups, kind="stable")
    sizes = np.unique(groups, return_counts=True)[1].tolist()
    x = (along * scale[:, None, None]).index_select(1, torch.from_numpy(order).to(along.device))
    parts = torch.stack([_both_signs(part) for part in x.split(sizes, dim=1)])
    rest = [torch.cat([parts[:i], parts[i + 1 :]]) for i in range(len(parts))]
    without = [_spread(some) for some in rest] if len(parts) > 1 else []
    none: NDArray[np.float64] = np.zeros((len(along), 0))
    return _spread(parts), np.stack(without, axis=1) if without else none


def gaussian_log_partition(
    along: Float[Tensor, "n d_model"], sigma: Float[Tensor, " layer"]
) -> Float[np.ndarray, " layer"]:
    """Return ln(min Z/max Z) of a standard Gaussian draw, already projected, times each sigma."""
    return np.concatenate([_spread(_both_signs(along[None] * one)[None]) for one in sigma])


def _both_signs(along: Float[Tensor, "layer n d_model"]) -> Float[Tensor, "layer both"]:
    if along.numel() and float(torch.linalg.vector_norm(along, torch.inf)) < _PLAIN:
        z = along.exp()
        return torch.cat([z.sum(dim=1), z.reciprocal_().sum(dim=1)], dim=1).log()
    return torch.cat([along.logsumexp(1), (-along).logsumexp(1)], dim=1)


def _spread(parts: Float[Tensor, "group layer both"]) -> Float[np.ndarray, " layer"]:
    log_z = parts.logsumexp(0)
    found: NDArray[np.float64] = (log_z.amin(dim=1) - log_z.amax(dim=1)).cpu().numpy()
    return found
