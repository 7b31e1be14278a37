"""Names of columns made unique, and row numbers left out."""

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from causal.scores.files import RawTable
from workbench.result.result import Note

LEAST_ROWS = 5


def tidy(raw: RawTable, *, wanted: Collection[str] = (), known: Collection[str] = ()) -> RawTable:
    """Give every column a name of its own and leave out a first column of row numbers.

    A column that is `wanted` by name is never left out. The suffix `_x`, which joining tables
    leaves, is removed where that gives one of the `known` names.
    """
    names, notes = tidy_names([str(c) for c in raw.frame.columns], known)
    frame = raw.frame.set_axis(names, axis=1).reset_index(drop=True)
    blank = [i for i, c in enumerate(raw.frame.columns) if _is_blank(str(c))]
    gone = [names[i] for i in blank[1:] if not _has_cells(frame[names[i]])]
    first = names[0] if names else ""
    if first and first not in wanted and _numbers_rows(frame[first], unnamed=0 in blank):
        gone.append(first)
        text = f"column {first!r} numbers the rows and is left out; name it in --columns to use it"
        notes = (*notes, Note(text, code="row-numbers"))
    return replace(raw, frame=frame.drop(columns=gone), notes=(*raw.notes, *notes))


def tidy_names(given: list[str], known: Collection[str] = ()) -> tuple[list[str], tuple[Note, ...]]:
    """Strip names, join broken lines, number the empty ones and tell repeated ones apart."""
    plain = [re.sub(r"\s+", " ", name).strip() for name in given]
    plain = [
        name[:-2] if name.endswith("_x") and name[:-2] in known and name[:-2] not in plain else name
        for name in plain
    ]
    plain = [f"column {i + 1}" if _is_blank(name) else name for i, name in enumerate(plain)]
    names: list[str] = []
    repeated: list[str] = []
    for name in plain:
        own, count = name, 2
        while own in names or (own != name and own in plain):
            own, count = f"{name} ({count})", count + 1
        if own != name:
            repeated.append(f"{name!r} as {own!r}")
        names.append(own)
    if not repeated:
        return names, ()
    text = f"names that repeat were told apart: {', '.join(repeated[:5])}"
    return names, (Note(text, "warning", "repeated-names"),)


def _is_blank(name: str) -> bool:
    return not name.strip() or bool(re.fullmatch(r"Unnamed: \d+", name.strip()))


def _has_cells(column: "pd.Series[Any]") -> bool:
    return any(not pd.isna(cell) and str(cell).strip() for cell in column)


def _numbers_rows(column: "pd.Series[Any]", *, unnamed: bool) -> bool:
    """Whether a column counts 0, 1, 2 … or 1, 2, 3 …; an unnamed one may have gaps."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    if len(values) == 0 or not np.isfinite(values).all() or (values != values.round()).any():
        return False
    if unnamed and len(np.unique(values)) == len(values):
        return True
    return len(values) >= LEAST_ROWS and values[0] in (0, 1) and _steps_by_one(values)


def _steps_by_one(values: Float[np.ndarray, " n"]) -> bool:
    return bool((np.diff(values) == 1).all())
