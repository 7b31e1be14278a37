"""Rows from files: every good row is kept, every bad one is named with file and line."""

import csv
import json
import math
import reprlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.errors import DataError
from workbench.methods.contracts import Example
from workbench.runs.dataset_rows import DatasetAddress, dataset_rows
from workbench.runs.packed import UNREADABLE, Stream, format_of, opened
from workbench.runs.spec import DataRef

csv.field_size_limit(2**30)


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
    rows = _texts(data) if data.texts else _file_rows(data, stdin)
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
        reasons = "; ".join(f"{row.source}: {row.reason}" for row in bad[:5])
        raise DataError(
            f"no usable row{f' ({reasons})' if bad else ': the input is empty'}",
            hint="give a text with words" if data.texts else "name the field with --field",
        )
    return good, bad


_Row = tuple[str, Mapping[str, Any] | str]


def _example(row: _Row, data: DataRef) -> Example | BadRow:
    source, values = row
    if isinstance(values, str):
        return BadRow(source=source, reason=values)
    if data.field not in values:
        known = ", ".join(map(str, values)) or "none"
        return BadRow(source=source, reason=f"no field {data.field!r}; the row has {known}")
    text = values[data.field]
    problem = _text_problem(text, data.field)
    label = values.get(data.label) if data.label else None
    if not problem and data.label:
        problem = _label_problem(label, data.label)
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


def _texts(data: DataRef) -> Iterator[_Row]:
    for i, text in enumerate(data.texts, start=1):
        yield f"text {i}", {data.field: text}


def _file_rows(data: DataRef, stdin: Stream | None) -> Iterator[_Row]:
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


def _mixed_lines(stream: Stream, name: str) -> Iterator[_Row]:
    for source, line in _lines(stream, name):
        yield source, _json_line(line) if line.lstrip()[:1] == b"{" else _text_line(line)


def _read_jsonl(path: Path) -> Iterator[_Row]:
    with opened(path) as stream:
        for source, line in _lines(stream, _name(path)):
            yield source, _json_line(line)


def _read_plain(path: Path) -> Iterator[_Row]:
    with opened(path) as stream:
        for source, line in _lines(stream, _name(path)):
            yield source, _text_line(line)


def _read_json(path: Path) -> Iterator[_Row]:
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


def _read_csv(path: Path) -> Iterator[_Row]:
    bad_lines: set[int] = set()
    header: list[str] | None = None
    with opened(path) as stream:
        for first, last, cells in _csv_rows(path, stream, bad_lines):
            source = f"{_name(path)}:{first}"
            is_damaged = any(line in bad_lines for line in range(first, last + 1))
            problem = "not valid UTF-8" if is_damaged else cells if isinstance(cells, str) else ""
            if header is None:
                if problem:
                    raise DataError(f"{source}: the header is {problem}")
                header = list(cells)
            elif problem:
                yield source, problem
            elif len(cells) != len(header):
                yield source, f"{len(cells)} cells; the header has {len(header)}"
            else:
                yield source, dict(zip(header, cells, strict=True))


def _csv_rows(
    path: Path, stream: Stream, bad_lines: set[int]
) -> Iterator[tuple[int, int, list[str] | str]]:
    # Strict: a quote that is never closed would otherwise swallow the rest of the file in silence.
    delimiter = "\t" if format_of(path) == ".tsv" else ","
    reader = csv.reader(_decoded(stream, bad_lines), delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = reader.line_num
            lines = f" in lines {first} to {last}" if last > first else ""
            yield first, last, f"not valid CSV{lines}: {error}"
            continue
        if cells:
            yield first, reader.line_num, cells


def _decoded(stream: Stream, bad_lines: set[int]) -> Iterator[str]:
    for number, line in enumerate(stream, start=1):
        plain = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        try:
            yield plain.decode()
        except UnicodeDecodeError:
            bad_lines.add(number)
            yield plain.decode(errors="replace")


def _read_parquet(path: Path) -> Iterator[_Row]:
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
