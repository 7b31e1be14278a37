"""The folder that keeps runs: one folder per run, written whole or not at all."""

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors.numpy import load_file, save_file

from workbench.config import settings
from workbench.errors import CorruptRun, RunNotFound, StoreError
from workbench.result.estimate import Estimate
from workbench.result.graph import CapabilityGraph
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import view_from_dict
from workbench.runs.index import Index
from workbench.runs.migrations import SCHEMA_VERSION, migrate
from workbench.runs.run import Failure, Run
from workbench.runs.spec import RunSpec, file_hash

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Store:
    """A folder of runs with an index that can always be rebuilt from them."""

    def __init__(self, folder: Path | str | None = None) -> None:
        """Open (and create if needed) the store at `folder`, by default `WORKBENCH_STORE`.

        Raises:
            StoreError: the folder cannot be created.
        """
        self.folder = Path(folder) if folder is not None else settings().store
        self.runs = self.folder / "runs"
        with _disk_errors(self.folder):
            self.runs.mkdir(parents=True, exist_ok=True)
        self.index = Index(self.folder / "index.sqlite", self._entries)

    def path(self, run_id: str) -> Path:
        """Return the folder of a run id, which cannot lie outside the store.

        Raises:
            StoreError: the id is not a plain name.
        """
        if not _NAME.fullmatch(run_id) or ".." in run_id:
            raise StoreError(
                f"{run_id!r} is not a run id; expected letters, digits, '.', '_' and '-'",
                hint="`workbench runs list` shows the ids",
            )
        return self.runs / run_id

    def __contains__(self, run_id: str) -> bool:
        """Whether the store holds that run."""
        return (self.path(run_id) / "run.json").is_file()

    def put(self, run: Run) -> Path:
        """Write a run, replacing an older one of the same id; a crash leaves the old one whole.

        Raises:
            StoreError: the disk is full or not writable.
        """
        target = self.path(run.run_id)
        draft = self.runs / f".draft-{run.run_id}-{uuid.uuid4().hex[:8]}"
        try:
            with _disk_errors(self.folder):
                _write(run, draft)
                _swap(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        self.index.add(_entry(target))
        return target

    def get(self, run_id: str, *, verify: bool = True) -> Run:
        """Read a run back, checking every file against its checksum.

        A unique beginning of an id is enough.

        Raises:
            RunNotFound: no run, or more than one, begins like that.
            CorruptRun: a file is missing or was changed.
        """
        folder = self.path(self.complete(run_id))
        record = _read_record(folder)
        if verify:
            _verify(folder, record)
        return _run(folder, record)

    def complete(self, prefix: str) -> str:
        """Return the one run id that begins with `prefix`.

        Raises:
            RunNotFound: none does, or several do.
        """
        if prefix in self:
            return prefix
        ids = sorted(p.name for p in self.runs.iterdir() if p.name.startswith(prefix))
        ids = [name for name in ids if not name.startswith(".")]
        if len(ids) == 1:
            return ids[0]
        found = f"{len(ids)} runs begin with it: {', '.join(ids[:5])}" if ids else "none does"
        raise RunNotFound(f"no run {prefix!r}: {found}", hint="`workbench runs list`")

    def find(self, **filters: str) -> Table:
        """List runs, newest first, whose index columns equal the filters."""
        return self.index.find(**filters)

    def remove(self, run_id: str) -> str:
        """Delete a run and return its id.

        Raises:
            RunNotFound: no such run.
        """
        found = self.complete(run_id)
        with _disk_errors(self.folder):
            shutil.rmtree(self.path(found))
        self.index.remove(found)
        return found

    def _entries(self) -> Iterator[dict[str, Any]]:
        for folder in sorted(self.runs.iterdir()):
            if not folder.name.startswith(".") and (folder / "run.json").is_file():
                yield _entry(folder)


def _write(run: Run, folder: Path) -> None:
    (folder / "tables").mkdir(parents=True)
    result = run.result
    files = []
    for name, table in (result.tables if result else {}).items():
        files.append(folder / "tables" / f"{_checked(name)}.parquet")
        table.frame.to_parquet(files[-1], index=False)
    if result and result.arrays:
        files.append(folder / "arrays.safetensors")
        save_file(dict(result.arrays), files[-1])
    record = {
        "schema_version": SCHEMA_VERSION,
        **run.as_dict(),
        "columns": {
            name: {c: vars(column) for c, column in table.columns.items()}
            for name, table in (result.tables if result else {}).items()
        },
        "has_result": result is not None,
        "checksums": {str(path.relative_to(folder)): file_hash(path) for path in files},
    }
    record["tables"] = list(record["tables"])
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (folder / "run.json").write_text(text, encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    (folder / "run.sha256").write_text(digest, encoding="ascii")
    for path in (*files, folder / "run.json"):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())


def _swap(draft: Path, target: Path) -> None:
    old = draft.with_name(f"{draft.name}-old")
    if target.exists():
        target.rename(old)
    try:
        draft.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _read_record(folder: Path) -> dict[str, Any]:
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


def _run(folder: Path, record: dict[str, Any]) -> Run:
    failure = record["failure"]
    return Run(
        spec=RunSpec.from_dict(record["spec"]),
        status=record["status"],
        result=_result(folder, record) if record["has_result"] else None,
        failure=Failure(**failure) if failure else None,
        provenance=record["provenance"],
    )


def _result(folder: Path, record: dict[str, Any]) -> Result:
    arrays = folder / "arrays.safetensors"
    return Result(
        summary=record["summary"],
        estimates=tuple(Estimate(**e) for e in record["estimates"]),
        tables={
            name: Table(
                pd.read_parquet(folder / "tables" / f"{_checked(name)}.parquet"),
                {c: Column(**v) for c, v in record["columns"][name].items()},
            )
            for name in record["tables"]
        },
        arrays=load_file(arrays) if arrays.is_file() else {},
        notes=tuple(Note(**n) for n in record["notes"]),
        views=tuple(view_from_dict(v) for v in record["views"]),
        graph=CapabilityGraph.from_dict(record["graph"]) if record.get("graph") else None,
    )


def _entry(folder: Path) -> dict[str, Any]:
    try:
        record = _read_record(folder)
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
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} cannot name a table; expected letters, digits, '.', '_', '-'")
    return name


_RERUN = "remove it with `workbench runs rm` and run the spec again"


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StoreError(
            f"cannot write to {folder}: {error.strerror or error}",
            hint="free some space, or set WORKBENCH_STORE to another disk"
            if full
            else "set WORKBENCH_STORE to a folder you may write to",
        ) from error
