"""Rogue dimensions: how much of the cosine a few dimensions carry."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

REMOVED = (1, 3, 5)
_PAIR_ROWS = 300


@dataclass(frozen=True, eq=False)
class Removal:
    """Cosines without the k largest contributors, over pairs of sampled tokens.

    `r_squared` compares them with the full cosines; NaN where either does not vary.
    """

    k: int
    mean_cosine: Float[np.ndarray, " layer"]
    r_squared: Float[np.ndarray, " layer"]
    n_pairs: int


def removals(
    x: Float[Tensor, "layer n d_model"], order: Int[np.ndarray, "layer d_model"]
) -> list[Removal]:
    """Return cosines without the first 1, 3 and 5 dimensions of `order`.

    All pairs of at most 300 tokens.

    Source: Timkey & van Schijndel 2021, section 3.
    """
    rows = x[:, :_PAIR_ROWS]
    if rows.shape[1] < 2:
        return []
    full, dimensions = _pair_cosines(rows), torch.from_numpy(order).to(x.device)
    found = []
    for k in (k for k in REMOVED if k < x.shape[2]):
        removed = dimensions[:, None, :k].expand(-1, rows.shape[1], -1)
        left = _pair_cosines(rows.scatter(2, removed, 0.0))
        found.append(Removal(k, left.mean(axis=1), _r_squared(full, left), full.shape[1]))
    return found


def _pair_cosines(x: Float[Tensor, "layer n d_model"]) -> Float[np.ndarray, "layer pair"]:
    unit = torch.nn.functional.normalize(x, dim=2, eps=1e-300)
    cosines = (unit @ unit.mT).cpu().numpy()
    found: NDArray[np.float64] = cosines[:, np.tri(x.shape[1], k=-1, dtype=bool)]
    return found


def _r_squared(
    a: Float[np.ndarray, "layer pair"], b: Float[np.ndarray, "layer pair"]
) -> Float[np.ndarray, " layer"]:
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    spread = (a * a).sum(axis=1) * (b * b).sum(axis=1)
    tiny = np.finfo(np.float64).eps * a.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > tiny**2, (a * b).sum(axis=1) ** 2 / spread, np.nan)
