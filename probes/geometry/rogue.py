"""Rogue dimensions: how much of the cosine a few dimensions carry."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

REMOVED = (1, 3, 5)
_PAIR_ROWS = 300


@dataclass(frozen=True)
class Removal:
    """Cosines without the k largest contributors, over pairs of sampled tokens.

    `r_squared` compares them with the full cosines; None where either does not vary.
    """

    k: int
    mean_cosine: float
    r_squared: float | None
    n_pairs: int


def removals(
    x: Float[np.ndarray, "n d_model"], order: Int[np.ndarray, " d_model"]
) -> list[Removal]:
    """Return cosines without the first 1, 3 and 5 dimensions of `order`.

    All pairs of at most 300 tokens.

    Source: Timkey & van Schijndel 2021, section 3.
    """
    rows = x[:_PAIR_ROWS]
    if len(rows) < 2:
        return []
    full = _pair_cosines(rows)
    found = []
    for k in (k for k in REMOVED if k < x.shape[1]):
        rest = rows.copy()
        rest[:, order[:k]] = 0
        left = _pair_cosines(rest)
        found.append(Removal(k, float(left.mean()), _r_squared(full, left), len(full)))
    return found


def _pair_cosines(x: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    unit = x / np.where(length > 0, length, 1)
    cosines: NDArray[np.float64] = (unit @ unit.T)[np.tri(len(x), k=-1, dtype=bool)]
    return cosines


def _r_squared(a: NDArray[np.float64], b: NDArray[np.float64]) -> float | None:
    a, b = a - a.mean(), b - b.mean()
    spread = float((a @ a) * (b @ b))
    tiny = np.finfo(np.float64).eps * len(a)
    return float((a @ b) ** 2 / spread) if spread > tiny**2 else None
