"""From a raw wide table to numeric scores and tidy facts, with a report of what was changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool

from causal.scores.categories import code_levels, few_values
from causal.scores.cleaning_report import EXAMPLES, CleaningReport, said
from causal.scores.facts import read_facts
from causal.scores.files import RawTable
from causal.scores.numerals import (
    LARGEST,
    Mark,
    Numbers,
    is_too_large,
    settle,
    survey,
    table_mark,
)
from causal.scores.schemas import Schema
from causal.scores.uninformative import find_uninformative
from workbench.errors import BadOption, TooLittleData, UnknownName
from workbench.result.result import Note

# A column with fewer cells that are numbers is not taken for a score unless it is named.
LEAST_NUMERIC = 0.5


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How cells are read: `decimal` "" detects the decimal sign.

    With `keep_missing`, rows with missing cells stay, as NaN; with `categories`, columns of text
    become numbered categories.
    """

    decimal: Mark | Literal[""] = ""
    keep_missing: bool = False
    categories: bool = False
    domains: bool = True


def clean(
    raw: RawTable, schema: Schema, *, scores: tuple[str, ...] = (), rules: Rules | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, CleaningReport]:
    """Return facts and numeric scores, one row per model, and a report.

    Cells are made numbers, columns that hold none left out, and rows lacking a score dropped.
    Columns that are constant or repeat another one stay and are named in the report. Rows get a
    base model and its evidence unless the table brings its own domains.

    Raises:
        UnknownName: columns that the schema or the selection names are missing.
        BadOption: a column chosen as a score holds no numbers.
        BadRows: rows without a model name.
        TooLittleData: no row has every selected score.
    """
    rules = rules or Rules()
    found = _read(raw, schema, scores, rules)
    numbers = pd.DataFrame({n: c.values for n, c in found.columns.items()}, index=raw.frame.index)
    facts = read_facts(raw, schema, domains=rules.domains)
    kept = _rows(numbers, raw, rules)
    frame, facts = numbers[kept].reset_index(drop=True), facts[kept].reset_index(drop=True)
    dull = find_uninformative(frame.to_numpy(), tuple(frame.columns))
    useful = frame.drop(columns=list(dull.names))
    report = CleaningReport(
        rows_read=len(raw.frame),
        rows_kept=len(frame),
        missing={str(c): int(numbers[c].isna().sum()) for c in numbers},
        not_numbers=_told(raw, found.columns, "bad"),
        spelled=_told(raw, found.columns, "spelled"),
        grouped=_told(raw, found.columns, "grouped"),
        constant=dull.constant,
        repeated=dull.repeated,
        repeated_keys=_repeated_keys(facts, schema),
        repeated_rows=0 if "model" in schema.facts else _repeated_rows(useful),
        zeros={str(c): int((frame[c] == 0).sum()) for c in frame}
        if "model" in schema.facts
        else {},
        left_out=() if schema.scores else tuple(found.reasons),
        reasons=found.reasons,
        coded=few_values(useful.drop(columns=list(found.levels), errors="ignore")),
        levels=found.levels,
        keeps_missing=rules.keep_missing,
        told=(*raw.notes, *_spellings(found.columns)),
    )
    return facts, frame, report


@dataclass(frozen=True, kw_only=True, eq=False)
class _Found:
    columns: dict[str, Numbers]
    reasons: dict[str, str]
    levels: dict[str, tuple[str, ...]]


def _read(raw: RawTable, schema: Schema, chosen: tuple[str, ...], rules: Rules) -> _Found:
    facts = set(schema.facts.values())
    required = chosen or schema.scores
    names = required or tuple(str(c) for c in raw.frame if c not in facts)
    _check(raw, schema, names)
    surveys = {c: survey(list(raw.frame[c])) for c in names}
    fallback = rules.decimal or table_mark(list(surveys.values()), raw.separator)
    columns: dict[str, Numbers] = {}
    reasons = {} if not chosen else dict.fromkeys(_others(raw, facts, names), "not chosen")
    levels: dict[str, tuple[str, ...]] = {}
    for name in names:
        column = settle(surveys[name], rules.decimal, fallback)
        reason = _unusable(raw, name, column)
        if not reason or (name in required and not reason.startswith("text")):
            columns[name] = column
        elif rules.categories and (coded := code_levels(surveys[name].cells)) is not None:
            columns[name], levels[name] = coded
        elif name in required:
            raise BadOption(
                f"column {name!r} holds no numbers, so it cannot be one of the scores: {reason}",
                hint="leave it out of --columns",
            )
        else:
            reasons[name] = reason
    if not columns:
        told = "; ".join(f"{c}: {r}" for c, r in list(reasons.items())[:EXAMPLES])
        raise TooLittleData(
            "the table holds no numeric column to use as a score" + (f" ({told})" if told else ""),
            hint="check --separator and --decimal",
        )
    return _Found(columns=columns, reasons=reasons, levels=levels)


def _others(raw: RawTable, facts: set[str], names: tuple[str, ...]) -> list[str]:
    return [str(c) for c in raw.frame if c not in facts and c not in names]


def _check(raw: RawTable, schema: Schema, names: tuple[str, ...]) -> None:
    own = [schema.facts[fact] for fact in ("model", "domain") if fact in schema.facts]
    missing = [c for c in (*own, *names) if c not in raw.frame]
    if missing:
        has = list(map(str, raw.frame.columns))
        shown = ", ".join(has[: 4 * EXAMPLES]) + (" …" if len(has) > 4 * EXAMPLES else "")
        raise UnknownName(
            f"the table has no column {', '.join(map(repr, missing))}; it has {shown}",
            hint="check the spelling of --columns, --model-column and --domain-column",
        )


def _unusable(raw: RawTable, name: str, column: Numbers) -> str:
    n, present = len(column.values), int(np.isfinite(column.values).sum())
    if present > LEAST_NUMERIC * n:
        return ""
    if len(column.bad):
        row = int(column.bad[0])
        cell = str(raw.frame[name].iloc[row])
        shown = cell if len(cell) <= 40 else cell[:40] + "…"
        kind = f"numbers beyond {LARGEST:g}" if is_too_large(cell) else "text"
        return f"{kind}, first {shown!r} in {raw.place(row)}"
    return f"{n - present} of {n} cells are missing" if present else "empty"


def _rows(numbers: pd.DataFrame, raw: RawTable, rules: Rules) -> Bool[np.ndarray, " n"]:
    present = numbers.notna()
    kept = present.any(axis=1) if rules.keep_missing else present.all(axis=1)
    if not kept.any():
        worst = numbers.isna().sum().sort_values(ascending=False)
        n = len(raw.frame)
        raise TooLittleData(
            f"no row has all {numbers.shape[1]} scores; most often missing: "
            + ", ".join(f"{c} ({k} of {n})" for c, k in worst.head(EXAMPLES).items()),
            hint="name fewer columns with --columns, or average tasks with --group-tasks",
        )
    mask: Bool[np.ndarray, " n"] = kept.to_numpy(dtype=bool)
    return mask


def _told(raw: RawTable, columns: Mapping[str, Numbers], what: str) -> tuple[str, ...]:
    found = []
    for name, column in columns.items():
        rows = getattr(column, what)
        if len(rows):
            first = int(rows[0])
            cell = raw.frame[name].iloc[first]
            found.append(f"{said(name)}: {len(rows)}, first {cell!r} in {raw.place(first)}")
    return tuple(found)


def _spellings(columns: Mapping[str, Numbers]) -> tuple[Note, ...]:
    notes = []
    if comma := [n for n, c in columns.items() if c.mark == "comma"]:
        told = f"the comma is the decimal sign in {_few(comma)}"
        notes.append(Note(told, code="decimal-comma"))
    if unsure := [f"{said(n)} ({c.unsure})" for n, c in columns.items() if c.unsure]:
        told = (
            f"cells such as 1,234 or 1.234 could be thousands or decimals in {_few(unsure)}; "
            "the other columns and the separator decided; --decimal decides outright"
        )
        notes.append(Note(told, "warning", "decimal-unsure"))
    signs = {n: len(c.percent) for n, c in columns.items() if len(c.percent)}
    if signs:
        told = f"percent signs were removed, 5 % counts as 5: {_few(list(signs))}"
        notes.append(Note(told, code="percent"))
    mixed = [n for n, k in signs.items() if k < np.isfinite(columns[n].values).sum()]
    if mixed:
        told = f"only some cells have a percent sign, so units may be mixed: {_few(mixed)}"
        notes.append(Note(told, "warning", "percent-mixed"))
    return tuple(notes)


def _few(names: list[str]) -> str:
    return ", ".join(map(said, names[: 2 * EXAMPLES])) + (" …" if len(names) > 2 * EXAMPLES else "")


def _repeated_keys(facts: pd.DataFrame, schema: Schema) -> int:
    key = [c for c in ("model", "precision", "revision") if c in schema.facts]
    return int(facts.duplicated(key).sum()) if "model" in key else 0


def _repeated_rows(numbers: pd.DataFrame) -> int:
    # Rows of few different values repeat by chance.
    many = [c for c in numbers if numbers[c].nunique() > len(numbers) / 2]
    return int(numbers.duplicated().sum()) if many else 0
