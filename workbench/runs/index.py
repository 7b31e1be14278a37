"""A list of runs that answers questions fast and can be thrown away."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import pandas as pd

from workbench.errors import StoreError, UnknownName
from workbench.result.tables import Table, columns_from

COLUMNS = columns_from("""
    run_id: Name of the run.
    status: complete, partial, interrupted, failed or corrupt.
    kind: What was run: probe, reasoner, discovery, refuter.
    name: Name of the plugin.
    model: Name of the model.
    backend: Hook backend.
    data: File the rows came from.
    created: When the run started (UTC).
    seconds (s): How long it took.
    summary: What was found.
""")


class Index:
    """An SQLite table over the run folders; they alone are the truth.

    A damaged table is rebuilt, one that lags behind the folders is brought up to date, and where
    nothing can be written the table is made in memory.
    """

    def __init__(self, path: Path, folders: "Folders") -> None:
        """Open the index over the run folders that `folders` lists and reads."""
        self.path = path
        self._folders = folders

    def rebuild(self) -> int:
        """Write the index anew from the run folders; return the number of runs.

        Raises:
            StoreError: the index cannot be written.
        """
        if self._state() == "damaged":
            self._remove_file()
        with self._open(self.path) as db:
            return _fill(db, self._folders)

    def add(self, run_id: str) -> None:
        """Add or renew the row of one run."""
        row = self._folders.entry(run_id)
        self._change(lambda db: _insert(db, row))

    def remove(self, run_id: str) -> None:
        """Forget one run."""
        self._change(lambda db: db.execute("DELETE FROM runs WHERE run_id = ?", (run_id,)))

    def find(self, **filters: str) -> Table:
        """Return the runs whose columns equal the filters, newest first.

        Raises:
            UnknownName: a filter names no column.
        """
        unknown = [name for name in filters if name not in COLUMNS]
        if unknown:
            known = ", ".join(COLUMNS)
            raise UnknownName(
                f"no index column {', '.join(unknown)}; known: {known}", hint="status=complete"
            )
        where = " AND ".join(f"{name} = ?" for name in filters) or "1"
        # Column names only, which were looked up above.
        query = f"SELECT * FROM runs WHERE {where} ORDER BY created DESC, run_id"  # noqa: S608
        with self._current() as db:
            rows = db.execute(query, tuple(filters.values())).fetchall()
        return Table(pd.DataFrame(rows, columns=list(COLUMNS)), COLUMNS)

    def _change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Apply a change; twice where another writer replaced a damaged index meanwhile."""
        for last in (False, True):
            try:
                with self._current() as db:
                    change(db)
            except StoreError:
                if last:
                    raise
            else:
                return

    @contextmanager
    def _current(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._state() != "sound":
                self.rebuild()
            with self._open(self.path) as db:
                _catch_up(db, self._folders)
        except StoreError:
            with self._open(":memory:") as db:
                _fill(db, self._folders)
                yield db
            return
        with self._open(self.path) as db:
            yield db

    def _state(self) -> Literal["sound", "empty", "damaged"]:
        try:
            with self._open(self.path) as db:
                columns = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
        except StoreError:
            return "damaged"
        return "sound" if columns == list(COLUMNS) else "empty"

    def _remove_file(self) -> None:
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"the index {self.path} cannot be replaced: {error}") from error

    @contextmanager
    def _open(self, path: Path | str) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(path, timeout=30)) as db, db:
                yield db
        except sqlite3.Error as error:
            raise StoreError(f"the index {path} cannot be used: {error}") from error


@runtime_checkable
class Folders(Protocol):
    """The run folders that an index is made from."""

    def names(self) -> set[str]:
        """The ids of the runs."""

    def entry(self, run_id: str) -> Mapping[str, Any]:
        """Read one run's row."""


def _fill(db: sqlite3.Connection, folders: Folders) -> int:
    db.execute("BEGIN IMMEDIATE")
    db.execute("DROP TABLE IF EXISTS runs")
    db.execute(f"CREATE TABLE runs ({', '.join(COLUMNS)}, UNIQUE (run_id))")
    names = sorted(folders.names())
    for name in names:
        _insert(db, folders.entry(name))
    return len(names)


def _catch_up(db: sqlite3.Connection, folders: Folders) -> None:
    names = folders.names()
    known = {row[0] for row in db.execute("SELECT run_id FROM runs")}
    for name in sorted(names - known):
        _insert(db, folders.entry(name))
    for name in sorted(known - names):
        db.execute("DELETE FROM runs WHERE run_id = ?", (name,))


def _insert(db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    marks = ", ".join("?" for _ in COLUMNS)
    values = tuple(_storable(row.get(name)) for name in COLUMNS)
    db.execute(f"INSERT OR REPLACE INTO runs VALUES ({marks})", values)  # noqa: S608 - marks only


def _storable(value: Any) -> Any:
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
