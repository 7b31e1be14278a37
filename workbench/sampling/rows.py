"""Rows of a file of problems: JSON lines, a JSON list or CSV, packed by gzip or not."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.errors import BadRows, DataError
from workbench.sampling.quotation import has_literal_quotes
from workbench.sampling.separated import numbered, separated, separator_of

Row = Mapping[str, Any]
_FAULTS = (ValueError, RecursionError)


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


def rows_or_faults(path: Path, *, first: int = 0) -> Iterator[tuple[int, Row | str]]:
    """Yield the same rows; in place of one that is no JSON object, what is wrong with it.

    Elements of a list are counted from `first`. A file without a line that begins like JSON is CSV
    if its first line has separators.

    Raises:
        DataError: the file cannot be read.
    """
    data = _unpacked(path)
    lines = data.splitlines()
    sign = separator_of(lines[0].decode(errors="replace")) if lines else ""
    if data.lstrip()[:1] == b"[":
        yield from ((i, _object(row)) for i, row in enumerate(_list(data, path), start=first))
    elif sign and not any(line.lstrip()[:1] in (b"{", b"[") for line in lines):
        yield from _table(data, sign, path)
    else:
        yield from ((n, _parsed(line)) for n, line in enumerate(lines, start=1) if line.strip())


def _unpacked(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except (OSError, EOFError, zlib.error) as error:
        told = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {told}", hint="check the path") from error
    return data.removeprefix(b"\xef\xbb\xbf")


def _parsed(line: bytes) -> Row | str:
    try:
        return _object(json.loads(line))
    except _FAULTS as error:
        return f"not valid JSON: {str(error)[:80]}"


def _object(row: Any) -> Row | str:
    return row if isinstance(row, dict) else f"a JSON {type(row).__name__}, not an object"


def _list(data: bytes, path: Path) -> list[Any]:
    try:
        rows: list[Any] = json.loads(data)
    except _FAULTS as error:
        raise DataError(f"{path} is not valid JSON: {str(error)[:120]}") from error
    return rows


def _table(data: bytes, separator: str, path: Path) -> Iterator[tuple[int, Row | str]]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}", hint="save it as UTF-8") from error
    is_literal = separator == "\t" and has_literal_quotes(text.splitlines())
    records = separated(io.StringIO(text, newline=""), separator, is_literal=is_literal)
    header: list[str] = []
    for line, _, cells in records:
        if isinstance(cells, str) and not header:
            raise DataError(f"{path}: the header is {cells}", hint='quote cells like this: "a"')
        if isinstance(cells, str):
            yield line, cells
        elif not header:
            header = numbered(cells)
        elif len(cells) == len(header):
            yield line, dict(zip(header, cells, strict=True))
        else:
            yield line, f"{len(cells)} cells; the header has {len(header)}"
