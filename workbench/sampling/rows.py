"""Rows of a JSONL or JSON file of problems."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import BadRows, DataError


def json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield (line or index, object) of a JSONL file or of a JSON list.

    Raises:
        DataError: the file cannot be read.
        BadRows: lines are not JSON objects; all are named.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if data.lstrip()[:1] == b"[":
        yield from enumerate(_list(data, path))
        return
    bad = []
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            bad.append(f"{path.name}:{number}: {str(error)[:80]}")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            bad.append(f"{path.name}:{number}: a JSON {type(row).__name__}")
    if bad:
        raise BadRows("; ".join(bad[:20]), hint="mend or remove these lines")


def _list(data: bytes, path: Path) -> list[Mapping[str, Any]]:
    try:
        rows: list[Mapping[str, Any]] = json.loads(data)
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {str(error)[:120]}") from error
    return rows
