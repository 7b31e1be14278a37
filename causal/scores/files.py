"""Files of tables: CSV in its dialects, Parquet, JSON and Excel, as cells with their place."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from causal.scores.decoding import decode
from causal.scores.dialect import split_table
from workbench.errors import BadRows, DataError, ModelNotFound
from workbench.result.result import Note

BUNDLED = "leaderboard_2025-02-20.parquet"
TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".tab")
EXCEL = {".xlsx": "openpyxl", ".xlsm": "openpyxl", ".xls": "xlrd", ".ods": "odf"}
_NO_TEXT = (
    (b"PK\x03\x04", "an Excel sheet or a ZIP archive", ".xlsx"),
    (b"PAR1", "a Parquet file", ".parquet"),
)
_SPLIT = {"columns", "index", "data"}
SUFFIXES = (*TEXT, ".parquet", ".pq", ".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True, eq=False)
class RawTable:
    """Cells as a file holds them, with the line of each row where the file has lines.

    `sha256` is that of the file's bytes; `separator` is what stands between columns of text.
    """

    frame: pd.DataFrame
    source: str
    sha256: str
    lines: Int[np.ndarray, " n"] | None = None
    separator: str = ""
    notes: tuple[Note, ...] = field(default=())

    def place(self, row: int) -> str:
        """Return where a row stands: file and line, else its number."""
        if self.lines is None:
            return f"row {row + 1}"
        return f"{self.source}:{int(self.lines[row])}"


def load_table(source: str | Path, *, separator: str = "") -> RawTable:
    """Read a path, a hub data file (`hub:owner/name/file`) or the shipped extract (`bundled`).

    Raises:
        ModelNotFound: there is no such file.
        BadRows: the file cannot be read as a table.
        DataError: the hub file could not be fetched.
    """
    text = str(source)
    if text == "bundled":
        content = resources.files("causal").joinpath("data", BUNDLED).read_bytes()
        return RawTable(
            frame=pd.read_parquet(io.BytesIO(content)), source=BUNDLED, sha256=_sha(content)
        )
    path = _from_hub(text) if text.startswith("hub:") else Path(text).expanduser()
    if not path.is_file():
        raise ModelNotFound(f"no file {text}", hint="give the path of a CSV or Parquet file")
    suffix = path.suffix.lower()
    if suffix in EXCEL and find_spec(EXCEL[suffix]) is None:
        raise BadRows(
            f"{path.name} ends in {path.suffix!r}; reading it needs the package {EXCEL[suffix]}, "
            "which is not installed",
            hint="save the sheet as CSV and give that file",
        )
    if suffix not in (*SUFFIXES, *EXCEL):
        raise BadRows(f"{path.name} ends in {path.suffix!r}; expected {', '.join(SUFFIXES)}")
    return parse_table(path.read_bytes(), path.name, suffix=suffix, separator=separator)


def parse_table(content: bytes, name: str, *, suffix: str, separator: str = "") -> RawTable:
    """Read the bytes of a file by its ending.

    Raises:
        BadRows: they are no table of that kind.
    """
    sha256 = _sha(content)
    if suffix in TEXT:
        _check_is_text(content, name)
        text, notes = decode(content, name)
        found = split_table(text, name, separator=separator)
        frame = pd.DataFrame(list(found.rows), columns=range(len(found.names)), dtype=object)
        frame.columns = pd.Index(found.names, dtype=object)
        return RawTable(
            frame=frame,
            source=name,
            sha256=sha256,
            lines=np.array(found.lines, dtype=np.int64),
            separator=found.separator,
            notes=(*notes, *found.notes),
        )
    try:
        return RawTable(frame=_frame(content, suffix), source=name, sha256=sha256)
    except (ValueError, TypeError, OSError, ImportError, KeyError, RecursionError) as error:
        raise BadRows(
            f"{name} cannot be read as a table: {error}", hint="check the file and its ending"
        ) from error


def _check_is_text(content: bytes, name: str) -> None:
    for begins, kind, suffix in _NO_TEXT:
        if content.startswith(begins):
            raise BadRows(
                f"{name} cannot be read as a table: it begins as {kind} does, not as text",
                hint=f"give it the ending {suffix}, or save the table as CSV",
            )


def with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn an index that holds names or keys into a column."""
    index = frame.index
    plain = pd.api.types.is_integer_dtype(index.dtype) and not any(index.names)
    if isinstance(index, pd.MultiIndex) or not plain:
        taken = set(map(str, frame.columns))
        names = [str(n) if n is not None and str(n) not in taken else "" for n in index.names]
        keys = index.to_frame(index=False)
        joined = pd.concat([keys, frame.reset_index(drop=True)], axis=1)
        joined.columns = pd.Index([*names, *frame.columns], dtype=object)
        return joined
    return frame.reset_index(drop=True)


def _frame(content: bytes, suffix: str) -> pd.DataFrame:
    buffer = io.BytesIO(content)
    if suffix in (".parquet", ".pq"):
        return with_index(pd.read_parquet(buffer))
    if suffix in EXCEL:
        return pd.read_excel(buffer, dtype=object)
    text, _ = decode(content, suffix)
    if suffix == ".json":
        return _of_json(json.loads(text))
    return _of_json([json.loads(line) for line in text.splitlines() if line.strip()])


def _of_json(found: Any) -> pd.DataFrame:
    # Not pandas' reader: it turns columns called `date` or `modified` into dates.
    if isinstance(found, Mapping) and {"columns", "data"} <= found.keys() <= _SPLIT:
        return pd.DataFrame(found["data"], columns=found["columns"], dtype=object)
    if isinstance(found, Mapping):
        columns = {k: _cells(v) for k, v in found.items()}
        if len({len(c) for c in columns.values()}) > 1:
            raise ValueError("its columns have different numbers of cells")
        return pd.DataFrame(columns, dtype=object)
    if not isinstance(found, list) or not found:
        raise ValueError("expected a list of rows, or one list of cells per column")
    if all(isinstance(row, Mapping) for row in found):
        return pd.DataFrame(found, dtype=object)
    if all(isinstance(row, list) for row in found) and len({len(row) for row in found}) == 1:
        first = [isinstance(cell, str) for cell in found[0]]
        names = found[0] if all(first) else [f"x{i + 1}" for i in range(len(found[0]))]
        return pd.DataFrame(found[all(first) :], columns=names, dtype=object)
    raise ValueError("expected rows of the same kind and length")


def _cells(column: Any) -> Sequence[Any]:
    if isinstance(column, Mapping):
        return list(column.values())
    if isinstance(column, list):
        return column
    raise ValueError("expected a list of rows, or one list of cells per column")


def _from_hub(text: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    parts = text.removeprefix("hub:").split("/", 2)
    if len(parts) < 3:
        raise BadRows(f"{text!r} names no file", hint="write hub:owner/name/path/to/file.parquet")
    owner, name, filename = parts
    try:
        return Path(hf_hub_download(f"{owner}/{name}", filename, repo_type="dataset"))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise DataError(
            f"{text} could not be fetched: {error}", hint="download it once and give its path"
        ) from error


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
