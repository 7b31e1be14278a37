"""One arrangement of a table whatever its row order, column order and names of domains.

Searches that break ties by position, and resamples that draw by position, then give one answer
to one set of rows.
"""

import hashlib

import numpy as np
from jaxtyping import Bool, Float, Int

Floats = Float[np.ndarray, "n n_var"]

FEW_VALUES = 10
ROWS_PER_VALUE = 5
_DIGITS = 8


def standardised(data: Floats) -> Floats:
    """Return columns of mean 0 and variance 1; missing cells stay missing.

    Columns are divided by their largest size first, so that squares neither overflow nor vanish.
    """
    size = np.nanmax(np.abs(data), axis=0)
    scaled = data / np.where(size > 0, size, 1.0)
    centred = scaled - np.nanmean(scaled, axis=0)
    spread = np.nanstd(centred, axis=0)
    found: Floats = centred / np.where(spread > 0, spread, 1.0)
    return found


def constant(data: Floats) -> Bool[np.ndarray, " n_var"]:
    """Tell which columns do not vary beyond rounding, whatever their unit."""
    filled = np.isfinite(data)
    low = np.where(filled, data, np.inf).min(axis=0)
    high = np.where(filled, data, -np.inf).max(axis=0)
    size = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(invalid="ignore"):
        still: Bool[np.ndarray, " n_var"] = ~(high - low > 1e-12 * size)
    return still


def discrete(data: Floats) -> Bool[np.ndarray, " n_var"]:
    """Tell which columns hold few whole numbers, each of them in several rows."""
    return np.array([_is_discrete(column[np.isfinite(column)]) for column in data.T], dtype=bool)


def _is_discrete(column: Float[np.ndarray, " n"]) -> bool:
    if not len(column) or (column != np.round(column)).any():
        return False
    values = len(np.unique(column))
    return values <= FEW_VALUES and len(column) >= ROWS_PER_VALUE * values


def column_order(data: Floats) -> Int[np.ndarray, " n_var"]:
    """Order columns by what is in them: moments, then correlations with the others, then cells.

    The order is that of the content, so it follows the columns when they are moved or rescaled.
    """
    z = np.nan_to_num(standardised(data))
    moments = [np.abs((z**power).mean(axis=0)) for power in (4, 3, 6)]
    shared = np.abs(z.T @ z / len(z))
    keys = [*moments, shared.sum(axis=0), (shared**2).sum(axis=0)]
    rounded = [_rounded(key) for key in keys]
    cells = [hashlib.sha256(np.sort(column).tobytes()).hexdigest() for column in data.T]
    places = sorted(range(data.shape[1]), key=lambda j: ([key[j] for key in rounded], cells[j]))
    return np.array(places, dtype=np.int64)


def _rounded(key: Float[np.ndarray, " n_var"]) -> list[float]:
    # Sums over rows in another order differ in the last digits.
    return [float(f"{value:.{_DIGITS}g}") for value in key]


def row_order(data: Floats) -> Int[np.ndarray, " n"]:
    """Order rows by their cells, then deal them out in one fixed disorder.

    Sorted rows would mislead what splits rows by position, such as cross-validated scores.
    """
    order = np.lexsort(data.T[::-1])
    return order[np.random.default_rng(0).permutation(len(order))]


def domain_codes(domains: np.ndarray) -> Int[np.ndarray, " n"]:
    """Number domains by their first row, whatever they are called."""
    _, first, codes = np.unique(domains, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    found: Int[np.ndarray, " n"] = rank[codes]
    return found
