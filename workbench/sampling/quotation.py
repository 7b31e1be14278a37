"""Quotation marks in tab-separated files: around cells, or characters of the text."""

import re
from collections.abc import Iterable
from itertools import islice

_MARK = '"'
# So many lines tell; a file may be longer than anybody asks of it.
_TELLING = 100_000
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def has_literal_quotes(lines: Iterable[str]) -> bool:
    """Return whether quotation marks in the lines of a tab-separated file belong to the text.

    They do where more rows can only be read so (a cell such as `"Yes," he said.`) than can only
    be read with quoted cells: rows that are quoted whole or hold a doubled mark, and lines whose
    cells are not as many as the names of the first line. Quoted names are quotation as well. The
    first 100,000 lines tell.
    """
    rows = islice(lines, _TELLING)
    names = next(rows, "").rstrip("\r\n").split("\t")
    if any(_is_quoted(name) for name in names):
        return False
    literal = quoted = 0
    for line in rows:
        if _MARK not in line:
            continue
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != len(names) or _needs_quotation(cells):
            quoted += 1
        elif any(_opens_literally(cell, len(cells)) for cell in cells):
            literal += 1
    return literal > quoted


def _opens_literally(cell: str, n_cells: int) -> bool:
    # The only cell of a row may be quoted over several lines.
    is_closed = n_cells > 1 or cell.count(_MARK) % 2 == 0
    return cell.startswith(_MARK) and is_closed and not _is_quoted(cell)


def _is_quoted(cell: str) -> bool:
    return _QUOTED.fullmatch(cell) is not None


def _needs_quotation(cells: list[str]) -> bool:
    quoted = [cell for cell in cells if _is_quoted(cell)]
    is_whole = len(cells) > 1 and len(quoted) == len(cells)
    return is_whole or any('""' in cell[1:-1] for cell in quoted)
