"""The last guard before a result is kept: no NaN or infinity among its numbers and words."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from workbench.errors import NotFinite
from workbench.result.result import Result

_QUOTED = re.compile(r"(?<!\w)'[^']*'|\"[^\"]*\"|“[^”]*”|`[^`]*`")
_WORD = re.compile(r"(?<![\w-])-?(?:nan|inf)(?![\w-]|\.\w)")


def check_finite(result: Result) -> None:
    """Refuse a result that holds NaN or infinity; an empty cell of a table is a missing number.

    Raises:
        NotFinite: a table, an array or a sentence of it does; the message names all of them.
    """
    problems = [*_in_tables(result), *_in_arrays(result), *_in_words(result)]
    if problems:
        raise NotFinite(
            f"the result is not finite: {'; '.join(problems)}",
            hint="a number that is not defined is left empty, with a note that says why",
        )


def _in_tables(result: Result) -> Iterator[str]:
    for name, table in result.tables.items():
        for column in table.frame:
            cells = table.frame[column]
            if pd.api.types.is_float_dtype(cells.dtype):
                endless = np.isinf(cells.to_numpy(dtype=np.float64, na_value=np.nan))
                if endless.any():
                    yield f"table {name}, column {column}: {int(endless.sum())} infinite cells"


def _in_arrays(result: Result) -> Iterator[str]:
    for name, array in result.arrays.items():
        if array.dtype.kind in "fc":
            n = int((~np.isfinite(array)).sum())
            if n:
                yield f"array {name}: {n} of {array.size} values"


def _in_words(result: Result) -> Iterator[str]:
    for sentence in (result.summary, *(note.text for note in result.notes)):
        words = set(_WORD.findall(_QUOTED.sub("", sentence)))
        if words and not words <= _names(result):
            yield f"the words {sentence[:120]!r}"


def _names(result: Result) -> set[str]:
    """Return what the result is about by name: a user may call a column nan."""
    nodes = (n.name for n in result.graph.nodes) if result.graph is not None else ()
    columns = (str(c) for table in result.tables.values() for c in table.frame)
    return {*nodes, *columns}
