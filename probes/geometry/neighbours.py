"""Two-NN intrinsic dimension of a sample of tokens."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from probes.geometry.spectrum import Undefined, Value
from probes.geometry.twins import distinct

DISCARD = 0.1
_ROWS_AT_ONCE = 512
_CANCELLED = 1e-6
_EQUIDISTANT = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class TwoNN:
    """The dimension by maximum likelihood and by the slope, and without each group of texts.

    It rests on `n` tokens, of which `sizes` count those of each group; `twins` were left out.
    """

    likelihood: Value
    slope: Value
    left_out: Float[np.ndarray, " group"]
    sizes: Float[np.ndarray, " group"]
    n: int
    twins: int


def two_nn(x: Float[np.ndarray, "n d_model"], groups: Int[np.ndarray, " n"]) -> TwoNN:
    """Estimate the dimension from the ratio of the two nearest distances.

    Likelihood: (N′ − 1)/Σ ln(r₂/r₁). Slope: of −ln(1 − F) on ln(r₂/r₁) through the origin,
    without the largest tenth. Of tokens with the same vector one is kept and the others are
    dropped before any distance is measured: a copy left as a neighbour would stand at the first
    distance of its twin's neighbours twice. Nearest distances cannot be bootstrapped, since
    copies lie at distance zero; leaving groups out can.

    Source: Facco et al. 2017, doi:10.1038/s41598-017-11873-y.
    """
    kept = distinct(x)
    twins = int((~kept).sum())
    x, groups = x[kept], groups[kept]
    present, sizes = np.unique(groups, return_counts=True)
    nearest = _nearest_by_group(x, groups, present)
    ratios = _log_ratios(nearest)
    left_out = []
    for i in range(len(present)) if len(present) > 1 else ():
        others = np.delete(nearest[groups != present[i]], i, axis=1)
        value = _likelihood(_log_ratios(others))
        left_out.append(np.nan if isinstance(value, Undefined) else value)
    return TwoNN(
        likelihood=_likelihood(ratios),
        slope=_slope(ratios),
        left_out=np.array(left_out),
        sizes=sizes.astype(np.float64) if left_out else np.zeros(0),
        n=len(x),
        twins=twins,
    )


def _nearest_by_group(
    x: NDArray[np.float64], groups: NDArray[np.generic], present: NDArray[np.generic]
) -> Float[np.ndarray, "n group two"]:
    """Return each token's two smallest distances to tokens of each group, never to itself."""
    order = np.argsort(groups, kind="stable")
    centred = (x - x.mean(axis=0))[order]
    starts = np.searchsorted(groups[order], present)
    bounds = [*starts.tolist(), len(x)]
    length = (centred**2).sum(axis=1)
    nearest = np.full((len(x), len(present), 2), np.inf)
    for low in range(0, len(x), _ROWS_AT_ONCE):
        rows = slice(low, low + _ROWS_AT_ONCE)
        square = length[rows, None] + length - 2 * (centred[rows] @ centred.T)
        count = len(square)
        square[np.arange(count), np.arange(low, low + count)] = np.inf
        for g, (a, b) in enumerate(pairwise(bounds)):
            few = _two_smallest(centred, rows, square[:, a:b], a)
            nearest[order[rows], g, : few.shape[1]] = few
    return nearest


def _two_smallest(
    x: NDArray[np.float64], rows: slice, square: NDArray[np.float64], first: int
) -> NDArray[np.float64]:
    """Choose by the expanded square; where it cancels, measure again, so twins lie at zero."""
    k = min(2, square.shape[1])
    chosen = np.argpartition(square, k - 1, axis=1)[:, :k]
    nearest = np.take_along_axis(square, chosen, axis=1)
    mine, theirs = x[rows], x[first : first + square.shape[1]]
    size = (mine**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1)[chosen]
    row, column = np.nonzero(nearest < _CANCELLED * size)
    apart = mine[row] - theirs[chosen[row, column]]
    nearest[row, column] = (apart**2).sum(axis=1)
    distances: NDArray[np.float64] = np.sqrt(np.sort(nearest, axis=1))
    return distances


def _log_ratios(nearest: NDArray[np.float64]) -> NDArray[np.float64]:
    flat = np.sort(nearest.reshape(len(nearest), -1), axis=1)
    if flat.shape[1] < 2:
        return np.zeros(0)
    first, second = flat[:, 0], flat[:, 1]
    kept = (first > 0) & np.isfinite(second)
    ratios: NDArray[np.float64] = np.log(second[kept] / first[kept])
    return ratios


def _likelihood(ratios: NDArray[np.float64]) -> Value:
    total = float(ratios.sum())
    if len(ratios) < 3:
        return Undefined("fewer than three tokens differ from all others")
    if total < _EQUIDISTANT * len(ratios):
        return Undefined("every token has its two nearest neighbours at the same distance")
    return (len(ratios) - 1) / total


def _slope(ratios: NDArray[np.float64]) -> Value:
    kept = int(len(ratios) * (1 - DISCARD))
    mu = np.sort(ratios)[:kept]
    if isinstance(likelihood := _likelihood(ratios), Undefined):
        return likelihood
    y = -np.log(1 - np.arange(1, kept + 1) / len(ratios))
    return float((mu @ y) / (mu @ mu))
