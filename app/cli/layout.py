"""Tables as text: numbers with their interval, wide tables cut into blocks that fit."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size

from app.cli.escaping import visible_cell

if TYPE_CHECKING:
    from workbench.result.tables import Column

Rows = Sequence[Mapping[str, Any]]

_PIECES = re.compile(r"(?:[^\s_/.-]|[.-](?=\d))*(?:[\s_/]|[.-](?!\d))*", re.DOTALL)
_GAP = 2
_MOST_KEYS = 3
_LEAST_TEXT = 10
_LONGEST_CELL = 2000
_LEAST_DECIMALS_SHOWN = 1e-4


@dataclass(frozen=True, kw_only=True)
class Block:
    """Columns that fit beside each other: headers of one or more lines, cells and alignment."""

    names: tuple[str, ...]
    headers: tuple[str, ...]
    numeric: tuple[bool, ...]
    widths: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    name: str
    header: str
    cells: tuple[str, ...]
    numeric: bool
    width: int
    natural: int


def number(value: float, *, half: float = 0.0) -> str:
    """Write a number with the digits that an interval of that half width allows."""
    if half > 0 and math.isfinite(half):
        decimals = 1 - math.floor(math.log10(half))
        if 0 <= decimals <= 6:
            return f"{value:.{decimals}f}"
    if value == 0 or _LEAST_DECIMALS_SHOWN <= abs(value) < 1e6:
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{value:.3g}"


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """Write `value [low, high]`, a dash for what is undefined."""
    if value is None:
        return "–"
    if low is None or high is None:
        return number(value)
    half = (high - low) / 2
    # An interval far from zero in its last digit deserves fixed decimals; a tiny one, exponents.
    if half <= 0 or abs(value) < half / 20:
        return f"{_short(value)} [{_short(low)}, {_short(high)}]"
    return f"{number(value, half=half)} [{number(low, half=half)}, {number(high, half=half)}]"


def _short(value: float) -> str:
    return f"{value:.2g}" if abs(value) < _LEAST_DECIMALS_SHOWN else number(value)


def blocks(
    rows: Rows,
    names: Sequence[str],
    columns: "Mapping[str, Column]",
    *,
    width: int,
    most_rows: int = 40,
    wrap: bool = False,
) -> tuple[Block, ...]:
    """Cut the rows of a table into blocks no wider than `width`, each with the key columns first.

    `names` are all columns and `columns` describes some of them. Columns that bound another one
    are shown inside it. Of a long table the first and last rows are kept, with a row of dots
    between. With `wrap`, long texts are broken over lines where that brings all columns into one
    block; otherwise they are cut.
    """
    shown = _shown_columns(rows, names, columns, width, most_rows)
    if not shown:
        return ()
    if wrap:
        fitted = _fitted(shown, width)
        if fitted:
            return (_block(fitted),)
    n_keys = _count_keys(rows, names, shown, width)
    keys, rest = shown[:n_keys], shown[n_keys:]
    groups: list[list[_Shown]] = [[]]
    for column in rest:
        if groups[-1] and _total([*keys, *groups[-1], column]) > width:
            groups.append([])
        groups[-1].append(column)
    return tuple(_block([_narrowed(c, c.width) for c in (*keys, *group)]) for group in groups)


def _fitted(shown: Sequence[_Shown], width: int) -> list[_Shown]:
    # The widest texts give way first, until all columns fit; none becomes narrower than a word.
    widths = [column.natural for column in shown]
    spare = width - _GAP * len(shown)
    while sum(widths) > spare:
        texts = [i for i, column in enumerate(shown) if not column.numeric]
        widest = max(texts, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= _LEAST_TEXT:
            return []
        widths[widest] -= 1
    return [
        replace(
            column, width=w, cells=tuple(broken(cell[:_LONGEST_CELL], w) for cell in column.cells)
        )
        for column, w in zip(shown, widths, strict=True)
    ]


def broken(text: str, width: int) -> str:
    """Break a text into lines of that width, after blanks, dots, dashes, slashes where it can."""
    lines = [""]
    for piece in _PIECES.findall(text):
        if cell_len(lines[-1] + piece.rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
        while cell_len(lines[-1].rstrip()) > width:
            n = _fitting(lines[-1], width)
            lines[-1:] = [lines[-1][:n], lines[-1][n:]]
    return "\n".join(line.rstrip() for line in lines)


def _fitting(text: str, width: int) -> int:
    # A wide character at the edge goes to the next line whole; one at least goes on each.
    n = 1
    while n < len(text) and cell_len(text[: n + 1]) <= width:
        n += 1
    return n


def _narrowed(column: _Shown, width: int) -> _Shown:
    return replace(column, cells=tuple(_cut(cell, width) for cell in column.cells))


def _block(columns: Sequence[_Shown]) -> Block:
    return Block(
        names=tuple(column.name for column in columns),
        headers=tuple(column.header for column in columns),
        numeric=tuple(column.numeric for column in columns),
        widths=tuple(column.width for column in columns),
        rows=tuple(zip(*(column.cells for column in columns), strict=True)),
    )


def _shown_columns(
    rows: Rows,
    names: Sequence[str],
    described: "Mapping[str, Column]",
    width: int,
    most_rows: int,
) -> list[_Shown]:
    bounds = {
        name for c in described.values() if c.low in names for name in (c.low, c.high) if name
    }
    kept, dots = _kept_rows(len(rows), most_rows)
    widest = max(16, width // 2)
    columns = []
    for name in names:
        if name in bounds:
            continue
        description = described.get(name)
        cells = [_cell(rows[i], name, description) for i in kept]
        if dots:
            cells.insert(dots, "⋮")
        values = [row[name] for row in rows]
        unit = description.unit if description else ""
        columns.append(_column(name, unit, cells, _is_numeric(values), widest))
    return columns


def _kept_rows(n: int, most: int) -> tuple[list[int], int]:
    if n <= most:
        return list(range(n)), 0
    first = max(1, most * 3 // 4)
    return [*range(first), *range(n - (most - first), n)], first


def _column(name: str, unit: str, cells: list[str], numeric: bool, widest: int) -> _Shown:
    words = visible_cell(name).replace("_", " ").split(" ")
    unit = "" if unit in words else unit
    least = max(*map(cell_len, words), cell_len(unit))
    natural = max([least, *map(cell_len, cells)])
    width = natural if numeric else min(natural, widest)
    lines = _wrapped(words, width) + ([unit] if unit else [])
    return _Shown(
        name=name,
        header="\n".join(lines),
        cells=tuple(cells),
        numeric=numeric,
        width=width,
        natural=natural,
    )


def _wrapped(words: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(_cut(word, width))
    return lines


def _cut(text: str, width: int) -> str:
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"


def _cell(row: Mapping[str, Any], name: str, column: "Column | None") -> str:
    value = row[name]
    if column and column.low in row and column.high in row and not isinstance(value, str):
        return with_interval(value, row[column.low], row[column.high])
    return _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list):
        return ", ".join(_plain(item) for item in value)
    return visible_cell(str(value))


def _is_numeric(values: Sequence[Any]) -> bool:
    return all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        for value in values
    )


def key_columns(rows: Rows, names: Sequence[str]) -> int:
    """Return how many leading columns tell the rows apart; 1 when a few do not."""
    for n in range(1, min(_MOST_KEYS, len(names)) + 1):
        if len({tuple(str(row[name]) for name in names[:n]) for row in rows}) == len(rows):
            return n
    return 1


def _count_keys(rows: Rows, names: Sequence[str], shown: Sequence[_Shown], width: int) -> int:
    n = key_columns(rows, names)
    return n if _total(shown[:n]) <= width // 2 else 1


def _total(columns: Sequence[_Shown]) -> int:
    return sum(column.width + _GAP for column in columns)
