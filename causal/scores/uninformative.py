"""Columns that carry no information of their own: constant, or a multiple of an earlier one."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

# Relative to the largest value: below this, differences are rounding.
FLAT = 1e-12
TWIN = 1e-9


class Uninformative(NamedTuple):
    """Names to leave out: constant columns, and (kept, repeated, sign) of those that repeat.

    `sign` is "same" for equal numbers, "+" for correlation 1 and "-" for correlation −1.
    """

    constant: tuple[str, ...]
    repeated: tuple[tuple[str, str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every column to leave out."""
        return (*self.constant, *(second for _, second, _ in self.repeated))


def find_uninformative(values: Float[np.ndarray, "n d"], names: tuple[str, ...]) -> Uninformative:
    """Find constant columns and columns that repeat an earlier one; missing cells are ignored.

    With fewer than three rows nothing is said: every pair of columns is then proportional.
    """
    if len(values) < 3:
        return Uninformative((), ())
    constant = tuple(n for n, c in zip(names, values.T, strict=True) if is_constant(c))
    rest = [i for i, n in enumerate(names) if n not in constant]
    repeated: list[tuple[str, str, str]] = []
    kept: list[int] = []
    near = _near(values[:, rest])
    place = {j: k for k, j in enumerate(rest)}
    for j in rest:
        pairs = (i for i in kept if near[place[i], place[j]])
        twin = next(((i, s) for i in pairs if (s := _sign(values[:, i], values[:, j]))), None)
        if twin is None:
            kept.append(j)
        else:
            repeated.append((names[twin[0]], names[j], twin[1]))
    return Uninformative(constant, tuple(repeated))


def _near(values: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, "d d"]:
    """Tell which pairs may repeat each other; with missing cells every pair may."""
    d = values.shape[1]
    if not d or not np.isfinite(values).all():
        return np.ones((d, d), dtype=bool)
    scaled = (values - values.mean(axis=0)) / np.ptp(values, axis=0)
    scaled = scaled / np.sqrt((scaled**2).sum(axis=0))
    close: Bool[np.ndarray, "d d"] = np.abs(scaled.T @ scaled) > 1 - 1000 * TWIN
    return close


def is_constant(column: Float[np.ndarray, " n"]) -> bool:
    """Whether a column takes one value up to rounding."""
    present = column[np.isfinite(column)]
    if len(present) == 0:
        return True
    return bool(np.ptp(present) <= FLAT * np.abs(present).max())


def _sign(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> str:
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() < 3 or is_constant(first[both]) or is_constant(second[both]):
        return ""
    if np.array_equal(first, second, equal_nan=True):
        return "same"
    r = float(np.corrcoef(_unit(first[both]), _unit(second[both]))[0, 1])
    return "" if abs(r) < 1 - TWIN else "+" if r > 0 else "-"


def _unit(column: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    # Very large and very small numbers would leave the range of squares.
    scaled: Float[np.ndarray, " n"] = (column - column.mean()) / np.ptp(column)
    return scaled
