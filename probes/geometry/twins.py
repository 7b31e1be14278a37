"""Which vectors of a sample are told apart, and which repeat another."""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

_ROUNDING = 3e-6
_OF_SPREAD = 1e-3


def distinct(x: Float[np.ndarray, "n d_model"]) -> Bool[np.ndarray, " n"]:
    """Mark one of every set of equal vectors, the first.

    Vectors count as equal up to what batches round differently: three millionths of their
    typical length, and at most a thousandth of their typical distance from the mean.
    """
    kept = np.zeros(len(x), dtype=bool)
    if not len(x):
        return kept
    rows = np.ascontiguousarray(x + 0.0)  # −0 and 0 are the same number
    words = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    first = np.sort(np.unique(words, return_index=True)[1])
    kept[first] = True
    apart = np.linalg.norm(x - x.mean(axis=0), axis=1)
    far = float(np.median(apart[apart > 0])) if apart.any() else 0.0
    near = min(_ROUNDING * float(np.median(np.linalg.norm(x, axis=1))), _OF_SPREAD * far)
    kept[first[_repeated(x[first], near)]] = False
    return kept


def _repeated(x: NDArray[np.float64], near: float) -> Bool[np.ndarray, " n"]:
    """Mark vectors that lie within a distance of an earlier one.

    Vectors that are near are near along any one direction, so only neighbours on the line of a
    random direction are measured.
    """
    repeated = np.zeros(len(x), dtype=bool)
    direction = np.random.default_rng(0).standard_normal(x.shape[1])
    along = x @ (direction / np.linalg.norm(direction))
    order = np.argsort(along, kind="stable")
    along = along[order]
    for step in range(1, len(x)):
        close = np.flatnonzero(along[step:] - along[:-step] <= near)
        if not len(close):
            break
        one, other = order[close], order[close + step]
        same = np.linalg.norm(x[one] - x[other], axis=1) <= near
        repeated[np.maximum(one, other)[same]] = True
    return repeated
