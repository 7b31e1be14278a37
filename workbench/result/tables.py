"""Tables whose columns know their unit and meaning."""

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import BadOption, CorruptRun, UnknownName


@dataclass(frozen=True)
class Column:
    """What one column holds: its unit and one sentence; `low` and `high` name its interval.

    `control_of` names the column whose null control this one is.
    """

    unit: str = ""
    help: str = ""
    low: str = ""
    high: str = ""
    control_of: str = ""


Rows = list[dict[str, Any]]
_DESCRIBED = re.compile(r"(\w+)(?: \(([^;()]+)(?:; (\w+), (\w+))?\))?: (.+)")


def columns_from(text: str) -> dict[str, Column]:
    """Return the columns that a text describes, one a line, by name.

    A line reads `name (unit): what it holds`, without brackets where there is no unit, and
    `name (unit; low, high): …` where columns hold its interval. A line set in farther goes on
    with the one above it.

    Raises:
        BadOption: lines that do not read so.
    """
    lines = textwrap.dedent(text).strip()
    found = [(line, _DESCRIBED.fullmatch(line)) for line in re.sub(r"\n +", " ", lines).split("\n")]
    if wrong := [line for line, match in found if not match]:
        raise BadOption(
            f"columns {wrong}; expected lines that read 'name (unit): what it holds'",
            hint="leave the brackets out where there is no unit",
        )
    parts = [match.groups(default="") for _, match in found if match]
    return {name: Column(unit, told, low, high) for name, unit, low, high, told in parts}


@dataclass(frozen=True, eq=False)
class Table:
    """A data frame with described columns; missing numbers are null, never hidden NaN."""

    frame: pd.DataFrame
    columns: Mapping[str, Column] = field(default_factory=dict)

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Column] | None = None
    ) -> "Table":
        """Build a table from one mapping per row; without rows it still has its columns."""
        found, described = list(rows), dict(columns or {})
        return cls(pd.DataFrame(found or None, columns=None if found else [*described]), described)

    @classmethod
    def stored(cls, path: Path, columns: Mapping[str, Column] | None = None) -> "Table":
        """Describe a Parquet file; `frame` is read from it when first asked for.

        Raises:
            CorruptRun: it cannot be read.
        """
        table = cls.__new__(cls)
        with _readable(path):
            n_rows = pq.read_metadata(path).num_rows
        for name, value in (("_path", path), ("_n_rows", n_rows), ("columns", columns or {})):
            object.__setattr__(table, name, value)
        return table

    if not TYPE_CHECKING:  # a type checker would else take any attribute for granted

        def __getattr__(self, name):
            """Read the cells of a stored table, once."""
            if name != "frame" or "_path" not in vars(self):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            with _readable(self._path):
                object.__setattr__(self, "frame", pd.read_parquet(self._path))
            return self.frame

    def page(self, first: int, n: int) -> "Table":
        """Return `n` rows from `first` on; of a stored table only these are read.

        Raises:
            CorruptRun: the file was removed or changed meanwhile.
        """
        path: Path | None = vars(self).get("_path")
        if path is None or "frame" in vars(self):
            return Table(self.frame.iloc[first : first + n], self.columns)
        with _readable(path), pq.ParquetFile(path) as file:
            starts = [0]
            for i in range(file.num_row_groups):
                starts.append(starts[-1] + file.metadata.row_group(i).num_rows)
            groups = [
                i
                for i in range(file.num_row_groups)
                if starts[i] < first + n and starts[i + 1] > first
            ]
            found = file.read_row_groups(groups) if groups else file.schema_arrow.empty_table()
        skipped = first - (starts[groups[0]] if groups else 0)
        return Table(found.slice(skipped, n).to_pandas(), self.columns)

    def __len__(self) -> int:
        """Return the number of rows."""
        return vars(self)["_n_rows"] if "_path" in vars(self) else len(self.frame)

    def __getitem__(self, name: str) -> "pd.Series[Any]":
        """Return one column.

        Raises:
            UnknownName: the table has no such column.
        """
        if name not in self.frame:
            known = ", ".join(map(str, self.frame.columns))
            raise UnknownName(f"no column {name!r}; the table has {known}")
        return self.frame[name]

    def pick(self, names: Sequence[str]) -> "Table":
        """Return the same rows with those columns only, in that order.

        Raises:
            UnknownName: the table has no such column.
        """
        for name in names:
            self[name]
        kept = {name: self.columns[name] for name in names if name in self.columns}
        return Table(self.frame[list(names)], kept)

    def beside(self, other: "Table", *, on: Sequence[str]) -> "Table":
        """Return this table with the columns of another, whose rows agree in `on`."""
        frame = self.frame.merge(other.frame, on=list(on), how="left")
        return Table(frame, {**self.columns, **other.columns})

    def controls_of(self, name: str) -> tuple[str, ...]:
        """Return the columns that are null controls of one."""
        names = map(str, self.frame.columns)
        return tuple(n for n in names if self.columns.get(n, Column()).control_of == name)

    def label(self, name: str) -> str:
        """Return the column's name with its unit, as an axis shows it."""
        unit = self.columns.get(name, Column()).unit
        words = name.replace("_", " ")
        return f"{words} ({unit})" if unit else words

    def rows(self) -> list[dict[str, Any]]:
        """Return plain rows: Python numbers, None where a cell is missing."""
        names = [str(name) for name in self.frame.columns]
        return [
            dict(zip(names, map(plain_cell, row), strict=True))
            for row in self.frame.itertuples(index=False, name=None)
        ]

    def equals(self, other: "Table") -> bool:
        """Whether both tables hold the same cells and descriptions."""
        return self.rows() == other.rows() and dict(self.columns) == dict(other.columns)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise CorruptRun(f"{path} cannot be read: {error}", hint="run it again") from error


def plain_cell(value: Any) -> Any:
    """Turn one cell into what JSON can hold; NaN and NaT become None."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain_cell(v) for k, v in value.items()}
    if isinstance(value, Sequence | np.ndarray):
        return [plain_cell(item) for item in value]
    return str(value)
