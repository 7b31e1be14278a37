"""Rows of released question files, bad ones kept apart: JSON, JSON lines or CSV, packed or not."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import DataError


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
    text = _text(path)
    first = text.lstrip()[:1]
    if first == "[":
        rows, bad = _listed(text, path)
    elif first == "{":
        rows, bad = _lines(text)
    else:
        found = csv.DictReader(io.StringIO(text))
        rows = [Row(line=found.line_num, values=row) for row in found]
        bad = []
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


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}") from error


def _listed(text: str, path: Path) -> tuple[list[Row], list[BadRow]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON: {str(error)[:120]}") from error
    return _apart(list(enumerate(values, start=1)))


def _lines(text: str) -> tuple[list[Row], list[BadRow]]:
    found: list[tuple[int, Any]] = []
    bad = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            found += [(number, json.loads(line))] if line.strip() else []
        except (ValueError, RecursionError) as error:
            bad.append(BadRow(line=number, reason=str(error)[:80]))
    rows, others = _apart(found)
    return rows, sorted([*bad, *others], key=lambda row: row.line)


def _apart(found: list[tuple[int, Any]]) -> tuple[list[Row], list[BadRow]]:
    rows = [Row(line=n, values=v) for n, v in found if isinstance(v, dict)]
    bad = [
        BadRow(line=n, reason=f"a JSON {type(v).__name__}; expected an object")
        for n, v in found
        if not isinstance(v, dict)
    ]
    return rows, bad
