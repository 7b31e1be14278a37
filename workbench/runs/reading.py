"""Rows from files: every good row is kept, every bad one is named with file and line."""

import math
import reprlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from workbench.errors import DataError
from workbench.methods.contracts import Example
from workbench.runs.packed import Stream
from workbench.runs.row_files import Row, file_rows
from workbench.runs.spec import DataRef

_LABEL = "label"


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that could not be used: where it stands and what is wrong with it."""

    source: str
    reason: str


def read_rows(data: DataRef, *, stdin: Stream | None = None) -> Iterator[Example | BadRow]:
    """Yield every row of the data in order, good or bad, up to `limit` rows.

    JSONL, JSON (a list of objects), CSV, TSV, Parquet and plain text (one text a line) are told
    apart by the file's ending, packed where `.gz` follows it; `-` reads standard input, as JSONL
    where a line starts with a brace and as plain text otherwise. `dataset:NAME?split=…` streams a
    Hugging Face dataset.

    Raises:
        DataError: the file cannot be read at all, or no row has the asked-for field.
    """
    rows = _texts(data) if data.texts else file_rows(data, stdin)
    return _numbered(islice((_example(row, data) for row in rows), data.limit))


def _numbered(rows: Iterator[Example | BadRow]) -> Iterator[Example | BadRow]:
    number = 0
    for row in rows:
        if isinstance(row, Example):
            row, number = replace(row, number=number), number + 1
        yield row


def read_examples(
    data: DataRef, *, stdin: Stream | None = None
) -> tuple[list[Example], list[BadRow]]:
    """Read all rows and part the good from the bad.

    Raises:
        DataError: there is not one good row.
    """
    good: list[Example] = []
    bad: list[BadRow] = []
    for row in read_rows(data, stdin=stdin):
        good.append(row) if isinstance(row, Example) else bad.append(row)
    if not good:
        raise no_usable_row(data, bad)
    return good, bad


def no_usable_row(data: DataRef, bad: Sequence[BadRow]) -> DataError:
    """Return the error of data without one good row, of which these first ones are bad."""
    told = "; ".join(f"{row.source}: {row.reason}" for row in bad[:5])
    if data.texts:
        hint = "give a text with words"
    elif not bad:
        hint = "a text in each line, or rows with a field of text"
    elif "UTF-8" in told:
        hint = "save the file as UTF-8"
    else:
        hint = "name the field that holds the text: --field, in a plan data.field"
    return DataError(f"no usable row{f' ({told})' if bad else ': the input holds none'}", hint=hint)


def _example(row: Row, data: DataRef) -> Example | BadRow:
    source, values = row
    if isinstance(values, str):
        return BadRow(source=source, reason=values)
    if data.field not in values:
        known = ", ".join(map(str, values)) or "none"
        return BadRow(source=source, reason=f"no field {data.field!r}; the row has {known}")
    text = values[data.field]
    problem = _text_problem(text, data.field)
    label = values.get(data.label or _LABEL)
    wrong = _label_problem(label, data.label or _LABEL)
    if data.label:
        problem = problem or wrong
    elif wrong:
        # Nobody asked for labels: a row without a usable one is still a text.
        label = None
    if problem:
        return BadRow(source=source, reason=problem)
    return Example(
        text=text,
        label=float(label) if isinstance(label, int | float) else label,
        group=str(values.get(data.group, "")) if data.group else "",
        source=source,
        fields=values,
    )


def _text_problem(text: Any, field: str) -> str:
    if not isinstance(text, str):
        return f"field {field!r} is {_brief(text)}, not text"
    if not text.strip():
        return "the text is empty"
    if not _is_unicode(text):
        return "the text is not valid Unicode: it holds half a surrogate pair"
    return ""


def _label_problem(label: Any, field: str) -> str:
    if isinstance(label, str) and label.strip() and _is_unicode(label):
        return ""
    if isinstance(label, int | float) and not isinstance(label, bool):
        try:
            if math.isfinite(float(label)):
                return ""
        except OverflowError:
            pass
    return f"label {field!r} is {_brief(label)}; expected a word or a finite number"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _brief(value: Any) -> str:
    return reprlib.repr(value)


def _texts(data: DataRef) -> Iterator[Row]:
    for i, text in enumerate(data.texts, start=1):
        yield f"text {i}", {data.field: text}
