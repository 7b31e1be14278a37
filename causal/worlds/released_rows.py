"""Rows of released question files, bad ones kept apart: JSON, JSON lines or CSV, packed or not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import DataError
from workbench.sampling.items import Item
from workbench.sampling.rows import rows_or_faults


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record and where it stands: the line of a file of lines, else the place in its list."""

    line: int
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A record that could not be used, and why."""

    line: int
    reason: str


def read_rows(path: Path) -> tuple[list[Row], list[BadRow]]:
    """Return the records of a file and those that are none.

    Raises:
        DataError: the file cannot be read, or holds no record.
    """
    found = list(rows_or_faults(path, first=1))
    rows = [Row(line=n, values=row) for n, row in found if not isinstance(row, str)]
    bad = [BadRow(line=n, reason=row) for n, row in found if isinstance(row, str)]
    if not rows:
        why = f": {bad[0].reason}" if bad else ""
        raise DataError(f"{path} holds no record{why}", hint="a JSON list, JSON lines or CSV")
    return rows, bad


def fitting_rows(path: str, fits: Callable[[Mapping[str, Any]], bool], fields: str) -> list[Row]:
    """Return the records of a file that a task reads, all of which must fit.

    Raises:
        DataError: no file is named, it cannot be read, or records do not fit.
    """
    if not path:
        raise DataError("no file is named", hint=f"TASK:FILE, a file with the fields {fields}")
    rows, bad = read_rows(Path(path))
    wrong = sorted([row.line for row in rows if not fits(row.values)] + [b.line for b in bad])
    if wrong:
        raise DataError(
            f"{len(wrong)} rows of {path} do not fit, that of line {wrong[0]} first",
            hint=f"fields {fields}",
        )
    return rows


def usable_items(
    path: str, make: Callable[[Path, Row], Item], fields: str
) -> tuple[list[Item], list[tuple[str, str]]]:
    """Return the questions of a file that can be asked, and the place and fault of other rows.

    Raises:
        DataError: the file cannot be read, or holds no question.
    """
    file, found = Path(path), list[Item]()
    rows, bad = read_rows(file)
    faults = [(row.line, row.reason) for row in bad]
    for row in rows:
        try:
            found.append(make(file, row))
        except DataError as error:
            faults.append((row.line, error.message))
    if not found:
        raise DataError(f"{path} holds no question: {faults[0][1]}", hint=f"fields {fields}")
    return found, [(f"{file.name}:{line}", why) for line, why in sorted(faults)]
