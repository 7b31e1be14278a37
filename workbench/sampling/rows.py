"""Rows of a JSONL or JSON file of problems."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import BadRows, DataError

Row = Mapping[str, Any]


def json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield (line or index, object) of a JSONL file or of a JSON list.

    Raises:
        DataError: the file cannot be read.
        BadRows: lines are not JSON objects; all are named.
    """
    bad = []
    for number, row in rows_or_faults(path):
        if isinstance(row, str):
            bad.append(f"{path.name}:{number}: {row}")
        else:
            yield number, row
    if bad:
        raise BadRows("; ".join(bad[:20]), hint="mend or remove these lines")


def rows_or_faults(path: Path) -> Iterator[tuple[int, Row | str]]:
    """Yield the same rows; in place of one that is no JSON object, what is wrong with it.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if data.lstrip()[:1] == b"[":
        yield from ((i, _object(row)) for i, row in enumerate(_list(data, path)))
        return
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            yield number, f"not valid JSON: {str(error)[:80]}"
            continue
        yield number, _object(row)


def _object(row: Any) -> Row | str:
    return row if isinstance(row, dict) else f"a JSON {type(row).__name__}, not an object"


def _list(data: bytes, path: Path) -> list[Any]:
    try:
        rows: list[Any] = json.loads(data)
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {str(error)[:120]}") from error
    return rows
