"""What reading a table changed, and how it is told."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.result.result import Note
from workbench.result.tables import Table, columns_from

EXAMPLES = 5
MANY_ZEROS = 0.04
_NO_WORD = re.compile(r"\b(?:nan|inf)\b")
_SIGNS = {
    "same": "columns {first!r} and {second!r} hold the same numbers; a fit leaves {second!r} out",
    "+": "columns {first!r} and {second!r} have correlation 1; a fit leaves {second!r} out",
    "-": "columns {first!r} and {second!r} have correlation -1; a fit leaves {second!r} out",
}


@dataclass(frozen=True, kw_only=True)
class CleaningReport:
    """What reading changed: rows in and out, cells that were no numbers, columns left out.

    `missing` counts, by column, the cells without a usable number; `left_out` holds columns that
    are not used and `reasons` why. `repeated` are (kept, left out, sign) of columns that repeat
    each other, `coded` columns of few whole numbers with their number of values, `levels` the
    categories of text columns, in the order of their codes.
    """

    rows_read: int
    rows_kept: int
    missing: Mapping[str, int] = field(default_factory=dict)
    not_numbers: tuple[str, ...] = ()
    spelled: tuple[str, ...] = ()
    grouped: tuple[str, ...] = ()
    constant: tuple[str, ...] = ()
    repeated: tuple[tuple[str, str, str], ...] = ()
    repeated_keys: int = 0
    repeated_rows: int = 0
    zeros: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    coded: Mapping[str, int] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    keeps_missing: bool = False
    told: tuple[Note, ...] = ()

    @property
    def same_columns(self) -> tuple[tuple[str, str], ...]:
        """Pairs of columns that repeat each other, the kept one first."""
        return tuple((first, second) for first, second, _ in self.repeated)

    def table(self) -> Table:
        """One row per column of numbers, and one per column left out."""
        constant, same = set(self.constant), {b for _, b in self.same_columns}
        rows = [
            {
                "benchmark": name,
                "used": name not in constant and name not in same,
                "missing": self.missing[name],
                "exact_zeros": self.zeros.get(name, 0),
                "constant": name in constant,
                "duplicate": name in same,
                "reason": self.reasons.get(name, ""),
            }
            for name in self.missing
        ]
        rows += [
            {"benchmark": name, "used": False, "reason": self.reasons.get(name, "")}
            for name in self.left_out
        ]
        return Table.from_rows(
            rows,
            columns_from("""
                used: Whether the column is a variable of the fit.
                missing (models): Rows dropped or lacking this score.
                exact_zeros (models): Scores of exactly 0, often a failed parser.
                reason: Why the column is not used.
            """),
        )

    def plain(self) -> dict[str, Any]:
        """Return everything as plain values, for a frame's `attrs` and a graph's facts."""
        return asdict(self)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "CleaningReport":
        """Rebuild a report from plain values."""
        told = tuple(Note(**note) for note in values["told"])
        return cls(**{**values, "told": told})

    def facts(self) -> dict[str, Any]:
        """Return what a graph keeps of the cleaning."""
        return {
            "rows_read": self.rows_read,
            "rows_kept": self.rows_kept,
            "left_out": {**dict.fromkeys(self.left_out, ""), **dict(self.reasons)},
            "levels": {name: list(labels) for name, labels in self.levels.items()},
            "notes": [note.text for note in self.notes()],
        }

    def notes(self) -> tuple[Note, ...]:
        """Say what a reader of the numbers must know."""
        return (*self.told, *self._rows(), *self._cells(), *self._columns())

    def _rows(self) -> list[Note]:
        notes = []
        if self.rows_kept < self.rows_read:
            worst = sorted(self.missing.items(), key=lambda item: -item[1])
            lacking = ", ".join(f"{said(name)} ({n})" for name, n in worst[:EXAMPLES] if n)
            notes.append(
                Note(
                    f"{self.rows_kept} of {self.rows_read} rows kept; the others lack a score"
                    + (f", most often {lacking}" if lacking else ""),
                    "warning",
                    "rows-left-out",
                )
            )
        elif self.keeps_missing and any(self.missing.values()):
            text = ", ".join(f"{said(name)} ({n})" for name, n in self.missing.items() if n)
            notes.append(Note(f"missing cells are kept: {text}", code="missing-kept"))
        if self.repeated_keys:
            notes.append(
                _warn(f"{self.repeated_keys} rows repeat the key of an earlier row", "repeated-key")
            )
        if self.repeated_rows:
            text = f"{self.repeated_rows} rows repeat all numbers of an earlier row; they are kept"
            notes.append(_warn(text, "repeated-rows"))
        return notes

    def _cells(self) -> list[Note]:
        notes = []
        if self.not_numbers:
            text = "cells that are no numbers count as missing: " + "; ".join(self.not_numbers)
            notes.append(_warn(text, "not-numeric"))
        if self.spelled:
            text = "cells that say a value is missing: " + "; ".join(self.spelled)
            notes.append(Note(text, code="spelled-missing"))
        if self.grouped:
            text = "cells that were read as thousands, and could be decimals: "
            notes.append(_warn(text + "; ".join(self.grouped), "grouped-thousands"))
        for name, zeros in self.zeros.items():
            if zeros > MANY_ZEROS * self.rows_kept:
                notes.append(
                    _warn(
                        f"{zeros} of {self.rows_kept} models score exactly 0 on {said(name)}: "
                        "a floor, or an answer parser that failed",
                        "exact-zeros",
                    )
                )
        return notes

    def _columns(self) -> list[Note]:
        notes = []
        if self.constant:
            names = ", ".join(map(said, self.constant))
            text = f"constant columns carry no information: {names}; a fit leaves them out"
            notes.append(_warn(text, "constant-column"))
        for first, second, sign in self.repeated:
            text = _SIGNS[sign].format(first=first, second=second)
            notes.append(_warn(text, "duplicate-column"))
        if self.left_out:
            told = "; ".join(
                f"{name!r} ({self.reasons[name]})" if self.reasons.get(name) else f"{name!r}"
                for name in self.left_out[: 4 * EXAMPLES]
            )
            more = " …" if len(self.left_out) > 4 * EXAMPLES else ""
            count = len(self.left_out)
            notes.append(Note(f"{count} columns not used: {told}{more}", code="columns-left-out"))
        if self.levels:
            told = "; ".join(f"{k!r}: {', '.join(v[:EXAMPLES])}" for k, v in self.levels.items())
            text = f"categories are numbered in alphabetical order: {told}"
            notes.append(_warn(text, "categories"))
        if self.coded:
            told = ", ".join(f"{name!r} ({n} values)" for name, n in self.coded.items())
            text = (
                f"columns of few whole numbers: {told}; a linear test or score takes codes for "
                "amounts"
            )
            notes.append(_warn(text, "few-values"))
        return notes


def said(name: str) -> str:
    """Return a name as a sentence holds it: quoted where it could be taken for a number."""
    return repr(name) if _NO_WORD.search(name) else name


def _warn(text: str, code: str) -> Note:
    return Note(text, level="warning", code=code)
