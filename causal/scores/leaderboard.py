"""Score tables: reading, base-model domains, snapshot identity and filters."""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from causal.scores.cleaning import Rules, clean
from causal.scores.cleaning_report import CleaningReport
from causal.scores.columns import tidy
from causal.scores.facts import ALL_ROWS
from causal.scores.files import RawTable, load_table, with_index
from causal.scores.grouping import group_tasks
from causal.scores.rows import DomainRows
from causal.scores.schemas import OPEN_LLM, OPEN_LLM_SCORES, Schema, recognise
from workbench.errors import TooLittleData, UnknownName
from workbench.result.result import Note
from workbench.result.tables import Table

# Where a frame remembers how it was read.
READ = "score_table"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Which state of a leaderboard the numbers come from.

    `sha256` is that of the file as read, or of the cells when there was no file.
    """

    source: str
    sha256: str
    rows: int
    schema: str
    latest: str = ""

    @property
    def id(self) -> str:
        """A short name to print beside every number."""
        until = f", submissions to {self.latest}" if self.latest else ""
        return f"{self.schema}, {self.rows} rows{until}, sha256 {self.sha256[:12]}"


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreTable:
    """Models by benchmarks, with facts about each model and a domain label with its evidence.

    `facts` holds what is known of each row under fixed names (`model`, `domain`, `evidence`, …),
    `numbers` one numeric column per benchmark, in the table's own units; a benchmark may have
    the name of a fact. No number is missing unless the table was read to keep missing cells.
    """

    facts: pd.DataFrame
    numbers: pd.DataFrame
    snapshot: Snapshot
    report: CleaningReport
    notes: tuple[Note, ...] = ()

    def __len__(self) -> int:
        """Return the number of models."""
        return len(self.facts)

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the score columns."""
        return tuple(map(str, self.numbers.columns))

    @property
    def scores(self) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        """The scores, one row per model."""
        return self.numbers.to_numpy(dtype=np.float64)

    @property
    def frame(self) -> pd.DataFrame:
        """Facts and scores side by side; a fact with the name of a benchmark is called `name *`."""
        return pd.concat(
            [self.facts.rename(columns=self._columns_of_facts()), self.numbers], axis=1
        )

    @property
    def has_domains(self) -> bool:
        """Whether rows belong to named domains; else all form one."""
        return bool((self.facts["domain"] != ALL_ROWS).any())

    def domain_counts(self) -> dict[str, int]:
        """Rows per domain, largest first, without the unknown ones."""
        counts = self.facts.loc[self.facts["domain"] != "", "domain"].value_counts()
        return {str(name): int(n) for name, n in counts.items()}

    def rows(self, domains: Iterable[str]) -> DomainRows:
        """Split the scores of the named domains.

        Raises:
            UnknownName: a name is no domain of this table.
        """
        names, counts = tuple(domains), self.domain_counts()
        missing = [name for name in names if name not in counts]
        if missing:
            known = ", ".join(f"{d} ({n})" for d, n in list(counts.items())[:12])
            raise UnknownName(f"no domain {', '.join(map(repr, missing))}; there are {known}")
        labels = self.facts["domain"].to_numpy()
        blocks = tuple(self.scores[labels == name] for name in names)
        return DomainRows(names=names, benchmarks=self.benchmarks, blocks=blocks)

    def keep(
        self, mask: "np.ndarray[tuple[int], np.dtype[np.bool_]]", *notes: Note
    ) -> "ScoreTable":
        """Keep the rows of a mask, adding notes."""
        facts = self.facts[mask].reset_index(drop=True)
        numbers = self.numbers[mask].reset_index(drop=True)
        return replace(self, facts=facts, numbers=numbers, notes=(*self.notes, *notes))

    def leave_out(self, names: Iterable[str], *notes: Note) -> "ScoreTable":
        """Drop score columns, adding notes."""
        numbers = self.numbers.drop(columns=list(names))
        return replace(self, numbers=numbers, notes=(*self.notes, *notes))

    def cleaning_facts(self) -> dict[str, Any]:
        """Return what a graph keeps of how its table was read: rows, columns left out, notes."""
        return {
            **self.report.facts(),
            "rows_used": len(self),
            "notes": [note.text for note in self.notes],
        }

    def as_table(self) -> Table:
        """Return the cells as a plain table that remembers its snapshot and its cleaning."""
        frame = self.frame.copy()
        frame.attrs.update(asdict(self.snapshot))
        frame.attrs[READ] = {
            "facts": {**{str(c): str(c) for c in self.facts}, **self._columns_of_facts()},
            "scores": list(self.benchmarks),
            "report": self.report.plain(),
            "notes": [vars(note) for note in self.notes],
        }
        return Table(frame)

    def _columns_of_facts(self) -> dict[str, str]:
        return {str(c): f"{c} *" for c in self.facts if c in self.numbers}


def read_scores(
    source: str | Path,
    *,
    schema: Schema | None = None,
    scores: tuple[str, ...] = (),
    grouped: bool = False,
    separator: str = "",
    rules: Rules | None = None,
) -> ScoreTable:
    """Read a table from a path, a hub data file or the shipped extract (`bundled`).

    A hub file is written `hub:owner/name/path/in/the/dataset.parquet`. With `grouped`, tasks are
    averaged by the kind their name ends with and families stand in for base models.

    Raises:
        ModelNotFound: there is no such file.
        BadRows: the file cannot be read as a table.
        UnknownName: it lacks a column that was named.
        TooLittleData: no row, or no column, is left.
    """
    raw = load_table(source, separator=separator)
    return _build(raw, schema=schema, scores=scores, grouped=grouped, rules=rules)


def from_table(
    table: Table,
    *,
    schema: Schema | None = None,
    scores: tuple[str, ...] = (),
    grouped: bool = False,
    rules: Rules | None = None,
) -> ScoreTable:
    """Read scores from a table in memory; one that was read before keeps facts and notes."""
    attrs, frame = table.frame.attrs, with_index(table.frame)
    raw = RawTable(
        frame=frame,
        source=str(attrs.get("source", "table in memory")),
        sha256=str(attrs.get("sha256") or _digest(frame)),
    )
    known = attrs.get(READ)
    if known is None or not {*known["facts"].values(), *known["scores"]} <= set(frame.columns):
        return _build(raw, schema=schema, scores=scores, grouped=grouped, rules=rules)
    return _rebuilt(raw, attrs, scores, rules or Rules())


def _rebuilt(
    raw: RawTable, attrs: dict[Any, Any], scores: tuple[str, ...], rules: Rules
) -> ScoreTable:
    known, scores = attrs[READ], _spread(scores, raw.frame)
    report = CleaningReport.from_plain(known["report"])
    schema = Schema(
        name=str(attrs["schema"]), facts=known["facts"], scores=scores or tuple(known["scores"])
    )
    rules = replace(rules, keep_missing=report.keeps_missing, decimal="point")
    facts, numbers, again = clean(raw, schema, rules=rules)
    told = tuple(Note(**note) for note in known["notes"])
    # Only rows or columns taken away since then have anything to add.
    fresh = again.notes() if again.rows_kept < again.rows_read else ()
    new = tuple(n for n in fresh if n.text not in {note.text for note in told})
    # A table that was read before keeps the identity of the file it came from.
    snapshot = Snapshot(**{f.name: attrs[f.name] for f in fields(Snapshot)})
    return ScoreTable(
        facts=facts, numbers=numbers, snapshot=snapshot, report=report, notes=(*told, *new)
    )


@cache
def bundled() -> ScoreTable:
    """Return the shipped facts-only extract of the repaired snapshot, read once for all."""
    return read_scores("bundled")


def _build(
    raw: RawTable,
    *,
    schema: Schema | None,
    scores: tuple[str, ...],
    grouped: bool,
    rules: Rules | None,
) -> ScoreTable:
    rules = rules or Rules()
    wanted = {*scores, *",".join(scores).split(","), *(schema.facts.values() if schema else ())}
    raw = tidy(raw, wanted=wanted, known={*OPEN_LLM_SCORES, *OPEN_LLM.facts.values()})
    if raw.frame.empty:
        raise TooLittleData(
            f"{raw.source} holds no rows", hint="give a table with names above and rows below"
        )
    scores = _spread(scores, raw.frame)
    schema = schema or recognise(raw.frame)
    if grouped:
        raw, schema = group_tasks(raw, schema, decimal=rules.decimal)
    facts, numbers, report = clean(raw, schema, scores=scores, rules=rules)
    snapshot = Snapshot(
        source=raw.source,
        sha256=raw.sha256,
        rows=report.rows_read,
        schema=schema.name,
        latest=str(facts["submitted"].max()) if "submitted" in facts else "",
    )
    return ScoreTable(
        facts=facts, numbers=numbers, snapshot=snapshot, report=report, notes=report.notes()
    )


def _spread(names: tuple[str, ...], frame: pd.DataFrame) -> tuple[str, ...]:
    """Take a name such as `a,b` for two, where the table has both and not it."""
    found: list[str] = []
    for name in names:
        parts = [part.strip() for part in name.split(",")]
        is_list = name not in frame and all(part in frame for part in parts)
        found += parts if is_list else [name]
    return tuple(found)


def _digest(frame: pd.DataFrame) -> str:
    hashes = pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy()
    columns = "\x00".join(map(str, frame.columns)).encode()
    return hashlib.sha256(columns + hashes.tobytes()).hexdigest()
