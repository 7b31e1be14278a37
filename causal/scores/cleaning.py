"""From a raw wide table to numeric scores and tidy facts, with a report of what was changed."""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from causal.scores.domains import Label, base_model
from causal.scores.schemas import Schema
from workbench.errors import BadRows, TooLittleData, UnknownName
from workbench.result.result import Note
from workbench.result.tables import Column, Table

TRUTHS = {"true": True, "1": True, "1.0": True, "yes": True}
BOOLEANS = ("merged", "moe", "flagged", "chat_template")
EXAMPLES = 5
MANY_ZEROS = 0.04


@dataclass(frozen=True, kw_only=True)
class CleaningReport:
    """What reading changed: rows in and out, cells that were no numbers, doubtful columns."""

    rows_read: int
    rows_kept: int
    missing: Mapping[str, int] = field(default_factory=dict)
    not_numbers: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    same_columns: tuple[tuple[str, str], ...] = ()
    repeated_keys: int = 0
    zeros: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def table(self) -> Table:
        """One row per score column."""
        constant, same = set(self.constant), {b for _, b in self.same_columns}
        rows = [
            {
                "benchmark": name,
                "missing": self.missing[name],
                "exact_zeros": self.zeros.get(name, 0),
                "constant": name in constant,
                "duplicate": name in same,
            }
            for name in self.missing
        ]
        return Table.from_rows(
            rows,
            {
                "missing": Column("models", "Rows dropped or lacking this score."),
                "exact_zeros": Column("models", "Scores of exactly 0, often a failed parser."),
            },
        )

    def notes(self) -> tuple[Note, ...]:
        """Say what a reader of the numbers must know."""
        notes = (
            [Note(f"{self.rows_kept} of {self.rows_read} rows kept; the others lack a score")]
            if self.rows_kept < self.rows_read
            else []
        )
        if self.not_numbers:
            notes.append(
                _warn(
                    "cells that are no numbers count as missing: " + "; ".join(self.not_numbers),
                    "not-numeric",
                )
            )
        if self.constant:
            notes.append(
                _warn(
                    f"constant columns carry no information: {', '.join(self.constant)}",
                    "constant-column",
                )
            )
        for first, second in self.same_columns:
            notes.append(
                _warn(f"columns {first!r} and {second!r} hold the same numbers", "duplicate-column")
            )
        if self.repeated_keys:
            notes.append(
                _warn(f"{self.repeated_keys} rows repeat the key of an earlier row", "repeated-key")
            )
        for name, zeros in self.zeros.items():
            if zeros > MANY_ZEROS * self.rows_kept:
                notes.append(
                    _warn(
                        f"{zeros} of {self.rows_kept} models score exactly 0 on {name}: "
                        "a floor, or an answer parser that failed",
                        "exact-zeros",
                    )
                )
        if self.left_out:
            notes.append(Note(f"{len(self.left_out)} columns not used: {_few(self.left_out)}"))
        return tuple(notes)


def _warn(text: str, code: str) -> Note:
    return Note(text, level="warning", code=code)


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:EXAMPLES]) + (" …" if len(names) > EXAMPLES else "")


def clean(
    raw: pd.DataFrame, schema: Schema, *, scores: tuple[str, ...] = ()
) -> tuple[pd.DataFrame, tuple[str, ...], CleaningReport]:
    """Return one row per model with facts and numeric scores, the score names and a report.

    Column names are stripped, cells made numbers, and rows lacking a selected score dropped.
    Rows get a base model and its evidence unless the table brings its own domains.

    Raises:
        UnknownName: columns that the schema or the selection names are missing.
        BadRows: rows without a model name.
        TooLittleData: no row has every selected score.
    """
    raw = tidy_names(raw)
    names = _score_names(raw, schema, scores)
    facts = _facts(raw, schema)
    numbers, bad = _numbers(raw, names)
    complete = numbers.notna().all(axis=1)
    if not complete.any():
        worst = numbers.isna().sum().sort_values(ascending=False)
        raise TooLittleData(
            f"no row has all {len(names)} scores; most often missing: "
            + ", ".join(f"{c} ({n} of {len(raw)})" for c, n in worst.head(EXAMPLES).items()),
            hint="select fewer columns, or group tasks into averages",
        )
    frame = pd.concat([facts, numbers], axis=1)[complete].reset_index(drop=True)
    key = [c for c in ("model", "precision", "revision") if c in frame]
    report = CleaningReport(
        rows_read=len(raw),
        rows_kept=len(frame),
        missing={c: int(numbers[c].isna().sum()) for c in names},
        not_numbers=bad,
        constant=tuple(c for c in names if frame[c].nunique() < 2),
        same_columns=_same_columns(frame, names),
        repeated_keys=int(frame.duplicated(key).sum()),
        zeros={c: int((frame[c] == 0).sum()) for c in names},
        left_out=_left_out(raw, schema, names),
    )
    return frame, names, report


def tidy_names(raw: pd.DataFrame) -> pd.DataFrame:
    """Strip names, join broken lines, drop row numbers and the suffixes a join leaves."""
    renamed = {c: re.sub(r"\s+", " ", str(c)).strip() for c in raw.columns}
    for column, name in renamed.items():
        if name.endswith("_x") and name[:-2] not in renamed.values():
            renamed[column] = name[:-2]
    raw = raw.rename(columns=renamed)
    unnamed = [c for c in raw.columns if not c or re.fullmatch(r"Unnamed: \d+", c)]
    return raw.drop(columns=unnamed).reset_index(drop=True)


def _score_names(raw: pd.DataFrame, schema: Schema, chosen: tuple[str, ...]) -> tuple[str, ...]:
    used = set(schema.facts.values())
    names = (
        chosen
        or schema.scores
        or tuple(c for c in raw.columns if c not in used and _looks_numeric(raw[c]))
    )
    required = [
        schema.facts["model"],
        *([schema.facts["domain"]] if "domain" in schema.facts else []),
        *names,
    ]
    missing = [c for c in required if c not in raw.columns]
    if missing:
        raise UnknownName(
            f"the table has no column {', '.join(map(repr, missing))}; it has "
            f"{_few(tuple(map(str, raw.columns)))}",
            hint="check the spelling, or give a mapping of columns",
        )
    if not names:
        raise TooLittleData("the table holds no numeric column to use as a score")
    return tuple(names)


def _looks_numeric(column: "pd.Series[Any]") -> bool:
    return bool(pd.to_numeric(column, errors="coerce").notna().mean() > 0.5)


def _numbers(raw: pd.DataFrame, names: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    columns, bad = {}, []
    for name in names:
        numeric = pd.to_numeric(raw[name], errors="coerce").astype(float)
        numeric = numeric.where(np.isfinite(numeric))
        lost = numeric.isna() & raw[name].notna()
        if lost.any():
            row = int(np.flatnonzero(lost)[0])
            bad.append(f"{name}: {int(lost.sum())}, first {raw[name].iloc[row]!r} in row {row + 1}")
        columns[name] = numeric
    return pd.DataFrame(columns), tuple(bad)


def _facts(raw: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    facts = pd.DataFrame(index=raw.index)
    for fact, column in schema.facts.items():
        if column not in raw:
            continue
        values = raw[column]
        if fact in BOOLEANS:
            facts[fact] = [TRUTHS.get(str(v).strip().lower(), False) for v in values]
        elif fact == "parameters_b":
            facts[fact] = pd.to_numeric(values, errors="coerce").astype(float)
        else:
            facts[fact] = ["" if pd.isna(v) else str(v).strip() for v in values]
    nameless = np.flatnonzero((facts["model"] == "").to_numpy())
    if len(nameless):
        raise BadRows(
            f"{len(nameless)} rows have no model name in {schema.facts['model']!r}, "
            f"first row {nameless[0] + 1}"
        )
    if "domain" not in facts:
        labels = [_label(row) for row in facts.to_dict("records")]
        facts["domain"] = [label.base_model for label in labels]
        facts["evidence"] = [label.evidence for label in labels]
    elif "evidence" not in facts:
        facts["evidence"] = ["declared" if d else "none" for d in facts["domain"]]
    return facts


def _label(row: Mapping[Hashable, Any]) -> Label:
    return base_model(
        str(row["model"]),
        str(row.get("declared", "")),
        str(row.get("architecture", "")),
        float(str(row.get("parameters_b", "nan"))),
    )


def _same_columns(frame: pd.DataFrame, names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (first, second)
        for i, second in enumerate(names)
        for first in names[:i]
        if np.array_equal(frame[first].to_numpy(), frame[second].to_numpy())
    )


def _left_out(raw: pd.DataFrame, schema: Schema, names: tuple[str, ...]) -> tuple[str, ...]:
    if schema.scores:
        return ()
    known = {*schema.facts.values(), *names}
    return tuple(str(c) for c in raw.columns if c not in known)
