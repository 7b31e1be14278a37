"""Rows of a text table: which character separates its columns, and whether it has a header."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Literal, NamedTuple

from causal.scores.numerals import read_cell
from workbench.errors import BadRows
from workbench.result.result import Note
from workbench.sampling.quotation import has_literal_quotes

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
SAMPLE = 200
SAMPLE_CHARACTERS = 200_000
AGREEMENT = 0.9
_NO_NUMBER = 0.01


class Record(NamedTuple):
    """The cells of one row and the line of the file on which it starts."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextTable:
    """A text file split into named columns; `lines` holds the line of every row."""

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    separator: str
    notes: tuple[Note, ...] = ()


def split_table(text: str, name: str, *, separator: str = "") -> TextTable:
    """Split text into columns; `separator` is a name of `SEPARATORS`, "" detects it.

    Rows with another number of cells than the header are left out, with a note.

    Raises:
        BadRows: the text holds no row, or most rows have another number of cells.
    """
    text, first, told = _declared(text)
    mark = SEPARATORS.get(separator, "") or told or detect_separator(text, name)
    rows = [r for r in split_records(text, mark, name, first=first) if any(r.cells)]
    if not rows:
        raise BadRows(f"{name} cannot be read as a table: it is empty", hint="check the file")
    records, above = _without_preamble(rows)
    width = _width(records)
    header, notes = _header(records, width)
    notes += above
    names = tuple(records[0].cells) if header else tuple(f"x{i + 1}" for i in range(width))
    if header and len(names) == width - 1:
        names = ("", *names)
    data = [_trimmed(r, width) for r in records[header:]]
    kept = [r for r in data if len(r.cells) == width]
    notes += _ragged([r for r in data if len(r.cells) != width], len(data), width, name)
    return TextTable(
        names=(*names[:width], *[""] * (width - len(names))),
        rows=tuple(r.cells for r in kept),
        lines=tuple(r.line for r in kept),
        separator=mark,
        notes=notes,
    )


def detect_separator(text: str, name: str) -> str:
    """Return the character under which rows have one width and the cells are numbers.

    One that parts the first row as it parts all others is tried before those under which that row
    would be a title: `model;task;score` above `a;x;50,5` is no title of two columns.
    """
    best, found, head = (False, 0.0, 0), ",", text[:SAMPLE_CHARACTERS]
    for mark in SEPARATORS.values():
        try:
            sample = list(islice(split_records(head, mark, name), SAMPLE))
        except BadRows:
            continue
        records, _ = _without_preamble([r for r in sample if any(r.cells)])
        numeric, width = _score(records)
        if mark == " " and numeric <= _NO_NUMBER:
            continue
        # Blanks part words of titles and of texts alike.
        parts_all = mark != " " and len(records) > 1 and {len(r.cells) for r in records} == {width}
        is_whole = parts_all and len(records) == len([r for r in sample if any(r.cells)])
        score = (is_whole and numeric > _NO_NUMBER, numeric, width)
        if score > best:
            best, found = score, mark
    return found


def split_records(text: str, mark: str, name: str, *, first: int = 1) -> "Sequence[Record]":
    """Split text into records; cells are stripped, quotes may hold line breaks.

    Raises:
        BadRows: a quotation that does not end, or a cell beyond the limit of the reader.
    """
    if mark == " ":
        lines = enumerate(text.splitlines(), start=first)
        return [Record(i, tuple(c.strip('"') for c in line.split())) for i, line in lines]
    is_literal = mark == "\t" and has_literal_quotes(text.splitlines())
    # QUOTE_NONE and QUOTE_MINIMAL of `csv`, whose constants are typed as any number.
    quoting: Literal[0, 3] = 3 if is_literal else 0
    stream = io.StringIO(text, newline="")
    reader = csv.reader(stream, delimiter=mark, skipinitialspace=True, quoting=quoting)
    records, line = [], first
    try:
        for cells in reader:
            records.append(Record(line, tuple(cell.strip() for cell in cells)))
            line = first + reader.line_num
    except csv.Error as error:
        raise BadRows(
            f"{name}:{line} cannot be read as a table: {error}", hint="check quotation marks"
        ) from error
    return records


def _declared(text: str) -> tuple[str, int, str]:
    # Spreadsheet programs write the separator into the first line.
    told = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    return (text[told.end() :], 2, told.group(1)) if told else (text, 1, "")


def _without_preamble(records: Sequence[Record]) -> tuple[Sequence[Record], tuple[Note, ...]]:
    """Leave out a title or comments above the names of columns."""
    widths = Counter(len(r.cells) for r in records)
    width = widths.most_common(1)[0][0] if widths else 0
    first = 0
    while first < len(records) - 1 and _is_title(records[first], width):
        first += 1
    if not first:
        return records, ()
    lines = ", ".join(str(r.line) for r in records[: min(first, 5)])
    text = f"{first} lines above the names of columns are left out: line {lines}"
    return records[first:], (Note(text, code="preamble"),)


def _is_title(record: Record, width: int) -> bool:
    if width < 2 or len(record.cells) == width:
        return False
    return len([c for c in record.cells if c]) == 1 or record.cells[0].startswith("#")


def _score(records: Sequence[Record]) -> tuple[float, int]:
    if not records:
        return 0.0, 0
    width = _width(records)
    data = [_trimmed(r, width) for r in records[1:]] or [records[0]]
    same = sum(len(r.cells) == width for r in data) / len(data)
    if width < 2 or len(records[0].cells) not in (width, width - 1) or same < AGREEMENT:
        return 0.0, 0
    cells = [read_cell(c) for r in data for c in r.cells]
    numeric = sum(c.is_number or c.is_missing for c in cells) / len(cells)
    return _NO_NUMBER + round(numeric, 2), width


def _width(records: Sequence[Record]) -> int:
    """Return the number of columns: that of most rows, without a last column that is empty."""
    data = records[1:] or records
    width = Counter(len(r.cells) for r in data).most_common(1)[0][0]
    named = len(records[0].cells)
    if width == named + 1 and not any(r.cells[-1] for r in data if len(r.cells) == width):
        return named
    return max(width, named) if named != width - 1 and named > 1 else width


def _trimmed(record: Record, width: int) -> Record:
    extra = record.cells[width:]
    return record._replace(cells=record.cells[:width]) if not any(extra) else record


def _header(records: Sequence[Record], width: int) -> tuple[bool, tuple[Note, ...]]:
    """Whether the first row holds names; whole numbers one after the other count as names."""
    cells = records[0].cells
    readings = [read_cell(c) for c in cells]
    numbers = [r for r in readings if r.is_number]
    if len(records) < 2 or 2 * len(numbers) <= len(cells) or not _reads_numbers(records[1:]):
        return True, ()
    shown = ", ".join(cells[:4]) + (" …" if len(cells) > 4 else "")
    values = [r.point for r in readings if r.is_number]
    if len(values) >= len(cells) - 1 and _counts(values):
        text = f"the first row holds the numbers {shown}; they are read as names of columns"
        return True, (Note(text, code="header"),)
    if len(numbers) < len(cells) and all(v is not None and v == round(v) for v in values):
        return True, ()
    text = (
        f"the first row holds numbers ({shown}): the table has no header, its columns are called "
        f"x1 to x{width}"
    )
    return False, (Note(text, "warning", "no-header"),)


def _reads_numbers(records: Sequence[Record]) -> bool:
    cells = [read_cell(c) for r in records[:SAMPLE] for c in r.cells]
    return 2 * sum(c.is_number for c in cells) > len(cells)


def _counts(values: Sequence[float | None]) -> bool:
    pairs = pairwise(values)
    return len(values) > 1 and all(
        a is not None and b is not None and b == a + 1 and a == round(a) for a, b in pairs
    )


def _ragged(odd: Sequence[Record], n: int, width: int, name: str) -> tuple[Note, ...]:
    if not odd:
        return ()
    first = f"first {name}:{odd[0].line} with {len(odd[0].cells)}"
    if 2 * len(odd) > n:
        raise BadRows(
            f"{name} cannot be read as a table: {len(odd)} of {n} rows do not have {width} cells, "
            f"{first}",
            hint="check the separator, or name it with --separator",
        )
    text = f"{len(odd)} of {n} rows left out: they do not have {width} cells, {first}"
    return (Note(text, "warning", "ragged-rows"),)
