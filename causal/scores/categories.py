"""Columns that hold categories: text numbered, and whole numbers that may be codes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from causal.scores.numerals import Numbers, read_cell

MOST_LEVELS = 20
FEW_VALUES = 8


def code_levels(cells: Sequence[Any]) -> tuple[Numbers, tuple[str, ...]] | None:
    """Number the categories of a text column in alphabetical order, None for too many of them."""
    words = ["" if read_cell(cell).is_missing else str(cell).strip() for cell in cells]
    levels = tuple(sorted({word for word in words if word}))
    if not 2 <= len(levels) <= MOST_LEVELS:
        return None
    codes = {level: float(i) for i, level in enumerate(levels)}
    none = np.zeros(0, dtype=np.int64)
    values = np.array([codes.get(word, np.nan) for word in words])
    return Numbers(values=values, bad=none, spelled=none, percent=none), levels


def few_values(numbers: pd.DataFrame) -> dict[str, int]:
    """Return the columns of few whole numbers, with how many different ones each holds."""
    found = {}
    for name in numbers:
        values = numbers[name].dropna().to_numpy(dtype=np.float64)
        different = np.unique(values)
        if 2 <= len(different) <= min(FEW_VALUES, len(values) / 5) and is_whole(different):
            found[str(name)] = len(different)
    return found


def is_whole(values: Float[np.ndarray, " n"]) -> bool:
    """Whether all values are whole numbers."""
    return bool((values == np.round(values)).all())
