"""One run as files: `run.json` with its checksum, Parquet tables, safetensors arrays."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from workbench.errors import CorruptRun, StoreError
from workbench.result.estimate import Estimate
from workbench.result.graph import CapabilityGraph
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import view_from_dict
from workbench.runs.migrations import SCHEMA_VERSION, migrate
from workbench.runs.run import Failure, Run
from workbench.runs.spec import RunSpec, file_hash

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# Rows of a table that are stored, and read back, together; a longer table is read page by page.
ROWS_AT_A_TIME = 1 << 15

_RERUN = "run it again with --fresh, or remove it with `workbench runs rm`"
_OS_ERROR = re.compile(r"os error (\d+)")
_SURROGATE = re.compile("[\ud800-\udfff]")


def write_run(run: Run, folder: Path) -> None:
    """Write a run into a new folder and flush it to the disk.

    Raises:
        StoreError: a table or array cannot be stored as it is.
        OSError: the disk is full or not writable.
    """
    (folder / "tables").mkdir(parents=True)
    tables = dict(run.result.tables) if run.result else {}
    files = [_write_table(folder, name, table) for name, table in tables.items()]
    if run.result and run.result.arrays:
        files.append(_write_arrays(folder, run.result.arrays))
    bare = replace(run, result=replace(run.result, tables={})) if run.result else run
    record = {
        "schema_version": SCHEMA_VERSION,
        **bare.as_dict(),
        "tables": list(tables),
        "columns": {
            name: {c: vars(column) for c, column in table.columns.items()}
            for name, table in tables.items()
        },
        "has_result": run.result is not None,
        "checksums": {str(path.relative_to(folder)): file_hash(path) for path in files},
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, default=_plain)
    # A path or an argument that is not valid Unicode arrives as lone surrogates.
    data = _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()
    (folder / "run.json").write_bytes(data)
    (folder / "run.sha256").write_text(hashlib.sha256(data).hexdigest(), encoding="ascii")
    for path in (*files, folder / "run.json", folder / "run.sha256"):
        flush(path)


def flush(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder, whatever happens next.

    Raises:
        OSError: the disk is full or not writable.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_run(folder: Path, *, verify: bool = True) -> Run:
    """Read a run back.

    Raises:
        CorruptRun: a file is missing, was changed or cannot be understood.
    """
    record = read_record(folder)
    if verify:
        _verify(folder, record)
    failure = record["failure"]
    try:
        return Run(
            spec=RunSpec.from_dict(record["spec"]),
            status=record["status"],
            result=_result(folder, record) if record["has_result"] else None,
            failure=Failure(**failure) if failure else None,
            provenance=record["provenance"],
        )
    except (KeyError, TypeError, ValueError, OSError, SafetensorError, pa.ArrowException) as error:
        raise CorruptRun(f"run {folder.name} cannot be read: {error}", hint=_RERUN) from error


def read_record(folder: Path) -> dict[str, Any]:
    """Read `run.json`, checked against its checksum and brought to today's schema.

    Raises:
        CorruptRun: it is missing, was changed, or comes from a newer version.
    """
    try:
        data = (folder / "run.json").read_bytes()
        expected = (folder / "run.sha256").read_text(encoding="ascii").strip()
        if hashlib.sha256(data).hexdigest() != expected:
            raise CorruptRun(f"{folder / 'run.json'} does not match its checksum", hint=_RERUN)
        return migrate(json.loads(data))
    except (OSError, ValueError) as error:
        if isinstance(error, CorruptRun):
            raise
        raise CorruptRun(f"{folder.name} cannot be read: {error}", hint=_RERUN) from error


def _verify(folder: Path, record: dict[str, Any]) -> None:
    broken = [
        name
        for name, expected in record["checksums"].items()
        if not (folder / name).is_file() or file_hash(folder / name) != expected
    ]
    if broken:
        raise CorruptRun(
            f"run {folder.name}: {', '.join(broken)} missing or changed since written", hint=_RERUN
        )


def _result(folder: Path, record: dict[str, Any]) -> Result:
    arrays = folder / "arrays.safetensors"
    return Result(
        summary=record["summary"],
        estimates=tuple(Estimate(**e) for e in record["estimates"]),
        tables={
            name: _read_table(
                folder / "tables" / f"{_checked(name)}.parquet",
                {c: Column(**v) for c, v in record["columns"][name].items()},
            )
            for name in record["tables"]
        },
        arrays=load_file(arrays) if arrays.is_file() else {},
        notes=tuple(Note(**n) for n in record["notes"]),
        views=tuple(view_from_dict(v) for v in record["views"]),
        graph=CapabilityGraph.from_dict(record["graph"]) if record.get("graph") else None,
    )


def _read_table(path: Path, columns: Mapping[str, Column]) -> Table:
    # A long table stays on disk until its cells are asked for; its file was checked just now.
    if pq.read_metadata(path).num_rows > ROWS_AT_A_TIME:
        return Table.stored(path, columns)
    return Table(pd.read_parquet(path), columns)


def index_entry(folder: Path) -> dict[str, Any]:
    """Return the index row of a run folder; one that cannot be read is `corrupt`."""
    try:
        record = read_record(folder)
    except CorruptRun as error:
        return {"run_id": folder.name, "status": "corrupt", "summary": error.message}
    spec, provenance = record["spec"], record["provenance"]
    return {
        "run_id": folder.name,
        "status": record["status"],
        "kind": spec.get("kind", ""),
        "name": spec.get("name", ""),
        "model": (spec.get("model") or {}).get("name", ""),
        "backend": (spec.get("model") or {}).get("backend", ""),
        "data": spec.get("data", {}).get("path", ""),
        "created": provenance.get("started", ""),
        "seconds": provenance.get("seconds"),
        "summary": record.get("summary") or (record["failure"] or {}).get("message", ""),
    }


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise StoreError(f"{name!r} cannot name a table; expected letters, digits, '.', '_', '-'")
    return name


def _write_table(folder: Path, name: str, table: Table) -> Path:
    path = folder / "tables" / f"{_checked(name)}.parquet"
    try:
        table.frame.to_parquet(path, index=False, row_group_size=ROWS_AT_A_TIME)
    except (pa.ArrowException, UnicodeEncodeError) as error:
        raise StoreError(f"table {name!r} cannot be stored: {error}") from error
    return path


def _write_arrays(folder: Path, arrays: Mapping[str, Any]) -> Path:
    path = folder / "arrays.safetensors"
    save_arrays(path, arrays)
    return path


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays as safetensors.

    Raises:
        StoreError: an array cannot be stored as it is.
        OSError: the disk is full or not writable.
    """
    try:
        save_file({name: np.asarray(a, order="C") for name, a in arrays.items()}, path)
    except (SafetensorError, KeyError) as error:
        number = _OS_ERROR.search(str(error))
        if number:
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
        raise StoreError(f"the arrays cannot be stored: {error}") from error


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)
