"""Files of rows, format by format: the fields of each row, or what is wrong with it."""

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from workbench.errors import DataError
from workbench.runs.dataset_rows import DatasetAddress, dataset_rows
from workbench.runs.packed import UNREADABLE, Stream, format_of, opened
from workbench.runs.spec import DataRef
from workbench.sampling.quotation import has_literal_quotes
from workbench.sampling.separated import numbered, separated, separator_of

Row = tuple[str, Mapping[str, Any] | str]


def file_rows(data: DataRef, stdin: Stream | None) -> Iterator[Row]:
    """Yield every row with its place, or with what is wrong with it instead of its fields.

    Raises:
        DataError: the file cannot be read at all.
    """
    if data.path == "-":
        yield from _mixed_lines(stdin or sys.stdin.buffer, "stdin")
        return
    if data.is_dataset:
        yield from dataset_rows(DatasetAddress.parse(data.path))
        return
    path = data.file
    if path is None or not path.is_file():
        raise DataError(
            f"no file {data.path!r}" if data.path else "no input was given",
            hint="give --text TEXT, or --data FILE with --field NAME, or --data - for stdin",
        )
    reader = _READERS.get(format_of(path))
    if reader is None:
        raise DataError(
            f"{_name(path)} ends in {path.suffix!r}; expected one of {', '.join(_READERS)}",
            hint="rename the file, or convert it to JSONL",
        )
    try:
        yield from reader(path)
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from error


def _name(path: Path) -> str:
    return path.name.encode(errors="backslashreplace").decode()


def _json_line(line: bytes) -> Mapping[str, Any] | str:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        kind = "not valid UTF-8" if isinstance(error, UnicodeDecodeError) else "not valid JSON"
        return f"{kind}: {str(error)[:120]}"
    if not isinstance(values, dict):
        return f"a JSON {type(values).__name__}, not an object"
    return values


def _text_line(line: bytes) -> Mapping[str, Any] | str:
    try:
        return {"text": line.decode()}
    except UnicodeDecodeError as error:
        return f"not valid UTF-8: {error}"


def _lines(stream: Stream, name: str) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(stream, start=1):
        plain = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        stripped = plain.rstrip(b"\r\n")
        if stripped.strip():
            yield f"{name}:{number}", stripped


def _mixed_lines(stream: Stream, name: str) -> Iterator[Row]:
    for source, line in _lines(stream, name):
        yield source, _json_line(line) if line.lstrip()[:1] == b"{" else _text_line(line)


def _read_jsonl(path: Path) -> Iterator[Row]:
    with opened(path) as stream:
        for source, line in _lines(stream, _name(path)):
            yield source, _json_line(line)


def _read_plain(path: Path) -> Iterator[Row]:
    with opened(path) as stream:
        for source, line in _lines(stream, _name(path)):
            yield source, _text_line(line)


def _read_json(path: Path) -> Iterator[Row]:
    try:
        with opened(path) as stream:
            values = json.loads(stream.read())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{_name(path)} is not valid JSON: {str(error)[:120]}") from error
    if not isinstance(values, list):
        raise DataError(
            f"{_name(path)} holds a JSON {type(values).__name__}; expected a list of objects"
        )
    for i, row in enumerate(values):
        is_object = isinstance(row, dict)
        yield f"{_name(path)}[{i}]", row if is_object else f"a JSON {type(row).__name__}"


def _read_csv(path: Path) -> Iterator[Row]:
    bad_lines: set[int] = set()
    header: list[str] | None = None
    with opened(path) as stream:
        for first, last, cells in _csv_rows(path, stream, bad_lines):
            source = f"{_name(path)}:{first}"
            is_damaged = any(line in bad_lines for line in range(first, last + 1))
            problem = "not valid UTF-8" if is_damaged else cells if isinstance(cells, str) else ""
            if header is None:
                if problem:
                    hint = "save the file as UTF-8" if is_damaged else 'quote cells like this: "a"'
                    raise DataError(f"{source}: the header is {problem}", hint=hint)
                header = numbered(cells)
            elif problem:
                yield source, problem
            elif len(cells) != len(header):
                yield source, f"{len(cells)} cells; the header has {len(header)}"
            else:
                yield source, dict(zip(header, cells, strict=True))


def _csv_rows(
    path: Path, stream: Stream, bad_lines: set[int]
) -> Iterator[tuple[int, int, list[str] | str]]:
    decoded = _decoded(stream, bad_lines)
    header = next(decoded, "")
    separator = "\t" if format_of(path) == ".tsv" else separator_of(header) or ","
    is_literal = separator == "\t" and _is_literal(path)
    return separated(chain([header], decoded), separator, is_literal=is_literal)


def _is_literal(path: Path) -> bool:
    with opened(path) as stream:
        return has_literal_quotes(_decoded(stream, set()))


def _decoded(stream: Stream, bad_lines: set[int]) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        plain = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        try:
            yield plain.decode()
        except UnicodeDecodeError:
            bad_lines.add(number)
            yield plain.decode(errors="replace")


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        number = 0
        for batch in pq.ParquetFile(path).iter_batches(batch_size=1024):
            for row in batch.to_pylist():
                number += 1
                yield f"{_name(path)}:{number}", row
    except (pa.ArrowException, UnicodeDecodeError, OverflowError) as error:
        raise DataError(f"{_name(path)} is not a readable Parquet file: {error}") from error


_READERS = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".txt": _read_plain,
}
