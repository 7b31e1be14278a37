"""A list of runs that answers questions fast and can be thrown away."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from workbench.errors import StoreError, UnknownName
from workbench.result.tables import Column, Table

COLUMNS = {
    "run_id": Column(help="Name of the run."),
    "status": Column(help="complete, partial, interrupted, failed or corrupt."),
    "kind": Column(help="What was run: probe, reasoner, discovery, refuter."),
    "name": Column(help="Name of the plugin."),
    "model": Column(help="Name of the model."),
    "backend": Column(help="Hook backend."),
    "data": Column(help="File the rows came from."),
    "created": Column(help="When the run started (UTC)."),
    "seconds": Column(unit="s", help="How long it took."),
    "summary": Column(help="What was found."),
}


class Index:
    """An SQLite table over the run folders; a damaged one is rebuilt from them."""

    def __init__(self, path: Path, entries: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Open the index; `entries` yields the rows it is rebuilt from."""
        self.path = path
        self._entries = entries
        if not path.is_file():
            self.rebuild()

    def rebuild(self) -> int:
        """Write the index anew from the run folders; return the number of runs."""
        rows = list(self._entries())
        self.path.unlink(missing_ok=True)
        with self._open() as db:
            db.execute(f"CREATE TABLE IF NOT EXISTS runs ({', '.join(COLUMNS)}, UNIQUE (run_id))")
            for row in rows:
                _insert(db, row)
        return len(rows)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add or replace one run."""
        with self._healed() as db:
            _insert(db, row)

    def remove(self, run_id: str) -> None:
        """Forget one run."""
        with self._healed() as db:
            db.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))

    def find(self, **filters: str) -> Table:
        """Return the runs whose columns equal the filters, newest first.

        Raises:
            UnknownName: a filter names no column.
        """
        unknown = [name for name in filters if name not in COLUMNS]
        if unknown:
            known = ", ".join(COLUMNS)
            raise UnknownName(f"no index column {', '.join(unknown)}; known: {known}")
        where = " AND ".join(f"{name} = ?" for name in filters) or "1"
        query = f"SELECT * FROM runs WHERE {where} ORDER BY created DESC, run_id"
        with self._healed() as db:
            rows = db.execute(query, tuple(filters.values())).fetchall()
        return Table(pd.DataFrame(rows, columns=list(COLUMNS)), COLUMNS)

    @contextmanager
    def _healed(self) -> Iterator[sqlite3.Connection]:
        if not self._is_sound():
            self.rebuild()
        with self._open() as db:
            yield db

    def _is_sound(self) -> bool:
        try:
            with self._open() as db:
                columns = [row[1] for row in db.execute("PRAGMA table_info(runs)")]
                return columns == list(COLUMNS)
        except StoreError:
            return False

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as db, db:
                yield db
        except sqlite3.Error as error:
            raise StoreError(f"the index {self.path} cannot be used: {error}") from error


def _insert(db: sqlite3.Connection, row: Mapping[str, Any]) -> None:
    marks = ", ".join("?" for _ in COLUMNS)
    values = tuple(row.get(name) for name in COLUMNS)
    db.execute(f"INSERT OR REPLACE INTO runs VALUES ({marks})", values)
