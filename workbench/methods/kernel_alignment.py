"""How alike two sets of states of the same things are, whatever their axes: CKA."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

FEWEST = 5  # the estimator divides by n − 3, and leaving one out takes one more


def cka(
    x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n k"]
) -> tuple[float, Float[np.ndarray, " n"]]:
    """Return the debiased linear CKA of two sets of states and the value without each row.

    HSIC(X, Y) / √(HSIC(X, X)·HSIC(Y, Y)) with the unbiased HSIC, so that unrelated states give 0
    and not a number that grows with their width; a rotation, a shift and a scale leave it at 1.
    NaN where fewer than `FEWEST` rows or constant states leave it undefined.

    Source: Kornblith et al. 2019, arXiv:1905.00414; unbiased HSIC: Song et al. 2012, equation 5.
    """
    if len(x) < FEWEST:
        return float("nan"), np.full(len(x), np.nan)
    k, m = _gram(x), _gram(y)
    both, first, second = _hsic(k, m), _hsic(k, k), _hsic(m, m)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = both / np.sqrt(np.maximum(first, 0) * np.maximum(second, 0))
    found = np.where(np.isfinite(found), found, np.nan)
    return float(found[0]), np.asarray(found[1:])


def pseudo_values(value: float, without: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return one number per row whose mean is the jackknife estimate of a statistic."""
    n = len(without)
    return np.asarray(n * value - (n - 1) * without)


def _gram(x: NDArray[np.floating]) -> NDArray[np.float64]:
    centred = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    found = centred @ centred.T
    scale = max(float(np.trace(found)) / len(found), 1e-300)
    np.fill_diagonal(found, 0.0)
    return np.asarray(found / scale)


def _hsic(k: NDArray[np.float64], m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the unbiased HSIC of all rows, then without each row, from sums of the matrices."""
    product, rows_k, rows_m = k * m, k.sum(axis=1), m.sum(axis=1)
    inner, chain = product.sum(), rows_k @ rows_m
    own = product.sum(axis=1)
    parts = np.array([[inner, rows_k.sum(), rows_m.sum(), chain]]).repeat(len(k) + 1, axis=0)
    parts[1:, 0] -= 2 * own
    parts[1:, 1] -= 2 * rows_k
    parts[1:, 2] -= 2 * rows_m
    parts[1:, 3] -= rows_k * rows_m + m @ rows_k + k @ rows_m - own
    n = np.r_[len(k), np.full(len(k), len(k) - 1)]
    trace, sum_k, sum_m, through = parts.T
    found = trace + sum_k * sum_m / ((n - 1) * (n - 2)) - 2 * through / (n - 2)
    return np.asarray(found / (n * (n - 3)))


def retrieved(
    x: Float[np.ndarray, "n d_model"], y: Float[np.ndarray, "n d_model"]
) -> Float[np.ndarray, " n"]:
    """Return 1 where the row of y with the largest cosine to row i of x is row i."""
    unit = [a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-30) for a in (x, y)]
    return np.asarray((unit[0] @ unit[1].T).argmax(axis=1) == np.arange(len(x)), np.float64)
