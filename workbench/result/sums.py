"""Sums over units: joined, added up by group, and functions of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from workbench.result.levels import Cells
from workbench.result.metric import Statistic


def left_one_out(
    sums: Float[np.ndarray, "unit *part"],
    counts: Int[np.ndarray, " unit"],
    groups: Int[np.ndarray, " unit"],
    of: Statistic | None,
) -> tuple[float, Float[np.ndarray, " group"], Int[np.ndarray, " group"]]:
    """Return the value, the values without each group, and how many units each group holds.

    Without a function `of` of the sums it is their mean.
    """
    present, row = np.unique(groups, return_inverse=True)
    parts, sizes = added(sums, row, len(present)), added(counts, row, len(present))
    total = parts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        if of is not None:
            return float(of(total)), of(total - parts), sizes
        n = sizes.sum()
        return float(total / n), (total - parts) / np.maximum(n - sizes, 1), sizes


def added(x: NDArray[Any], row: NDArray[np.int64], n: int) -> NDArray[Any]:
    """Add up the entries of each row number."""
    found = np.zeros((n, *x.shape[1:]), x.dtype)
    np.add.at(found, row, x)
    return found


def ratio(
    sums: Float[np.ndarray, "*axes part"],
) -> Float[np.ndarray, "*axes"]:
    """Return the first sum by the second, NaN where there is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def stacked(
    parts: Sequence[Mapping[Cells, NDArray[Any]]], sizes: Sequence[int]
) -> dict[Cells, NDArray[Any]]:
    """Lay rows one after the other; what a part lacks counts for nothing there."""
    like = {cells: x for part in parts for cells, x in part.items()}
    return {
        cells: np.concatenate(
            [
                part[cells] if cells in part else np.zeros((n, *x.shape[1:]), x.dtype)
                for part, n in zip(parts, sizes, strict=True)
            ]
        )
        for cells, x in like.items()
    }
