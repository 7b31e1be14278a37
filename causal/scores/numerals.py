"""Cells to numbers: decimal points and commas, grouped thousands, percent signs, missing cells."""

import math
import numbers
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

Mark = Literal["point", "comma"]

# Spellings of "no value", in lower case; "" is a cell left empty.
MISSING = frozenset(
    [
        *("", "-", "--", "---", "—", "–", "?", "??", ".", "..", "...", "*", "\\n", "<na>"),
        *("na", "n/a", "#n/a", "#na", "n.a.", "n. a.", "nan", "-nan", "null", "none", "nil"),
        *("missing", "k.a.", "k. a.", "n.d.", "#div/0!", "#value!", "#ref!", "#num!", "#name?"),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    ]
)
TRUTH = {"true": 1.0, "false": 0.0}
# Squares and products of larger numbers leave the range of double precision.
LARGEST = 1e150

_EXPONENT = r"(?:[eE][+-]?\d+)?"
_PLAIN = {
    "point": re.compile(rf"[+-]?(?:\d+\.?\d*|\.\d+){_EXPONENT}", re.ASCII),
    "comma": re.compile(rf"[+-]?(?:\d+,?\d*|,\d+){_EXPONENT}", re.ASCII),
}
_GROUPED = {
    "point": re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:,\d{3})+|(?:[ '’]\d{3})+)(?:\.\d*)?", re.ASCII),
    "comma": re.compile(r"[+-]?[1-9]\d{0,2}(?:(?:\.\d{3})+|(?:[ '’]\d{3})+)(?:,\d*)?", re.ASCII),
}
_SIGNS: dict[Mark, str] = {"point": ".", "comma": ","}
_CHARACTERS = {
    "point": re.compile(r"[0-9.+\-eE\n]*", re.ASCII),
    "comma": re.compile(r"[0-9,+\-eE\n]*", re.ASCII),
}
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-"})


class Reading(NamedTuple):
    """What one cell can mean: its value with a decimal point and with a decimal comma."""

    point: float | None
    comma: float | None
    is_missing: bool = False
    is_percent: bool = False

    @property
    def is_number(self) -> bool:
        """Whether either reading is a number."""
        return self.point is not None or self.comma is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """One column as numbers: NaN where a cell is missing or is no number.

    `bad` are the rows whose cell is no number, `spelled` those with a spelling of "no value"
    other than an empty cell, `percent` those with a percent sign. `mark` is the decimal sign the
    cells need, "" where they need none; `unsure` counts cells such as 1,234 that would be another
    number with the other sign. `grouped` are the rows of such cells that were read as the others
    of their column are written, though the other number would be nearer to these.
    """

    values: Float[np.ndarray, " n"]
    bad: Int[np.ndarray, " n_bad"]
    spelled: Int[np.ndarray, " n_spelled"]
    percent: Int[np.ndarray, " n_percent"]
    mark: Mark | Literal[""] = ""
    unsure: int = 0
    grouped: Int[np.ndarray, " n_grouped"] = field(default_factory=lambda: np.zeros(0, np.int64))


def read_cell(cell: Any) -> Reading:
    """Return what a cell means under either decimal sign."""
    if isinstance(cell, str):
        return _read_text(cell)
    if cell is None or cell is pd.NA or cell is pd.NaT:
        return Reading(None, None, is_missing=True)
    if isinstance(cell, bool | np.bool_):
        return Reading(float(cell), float(cell))
    if isinstance(cell, numbers.Number) and not isinstance(cell, complex):
        value = float(cell)  # type: ignore[arg-type]
        return Reading(None, None, is_missing=True) if math.isnan(value) else _both(value)
    return Reading(None, None)


def _read_text(cell: str) -> Reading:
    text = cell.translate(_SPACES).strip()
    word = text.lower()
    if word in MISSING:
        return Reading(None, None, is_missing=True)
    if word in TRUTH:
        return Reading(TRUTH[word], TRUTH[word])
    percent = text.endswith("%")
    if percent:
        text = text[:-1].rstrip()
    return Reading(_value(text, "point"), _value(text, "comma"), is_percent=percent)


def _value(text: str, mark: Mark) -> float | None:
    grouped = _GROUPED[mark].fullmatch(text)
    if not grouped and not _PLAIN[mark].fullmatch(text):
        return None
    if grouped:
        text = re.sub(r"[ '’]" if mark == "point" else r"[ '’.]", "", text)
        text = text.replace(",", "") if mark == "point" else text
    return _bounded(float(text.replace(",", ".")))


def _bounded(value: float) -> float | None:
    return value if abs(value) <= LARGEST else None


def is_too_large(cell: str) -> bool:
    """Return whether a cell holds a number beyond what is read."""
    try:
        return abs(float(cell)) > LARGEST
    except ValueError:
        return False


def _both(value: float) -> Reading:
    return Reading(_bounded(value), _bounded(value))


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """The cells of one column looked at once: what they mean under either decimal sign.

    `votes` counts what they say about the sign. A column of nothing but numbers with one sign,
    or none, is kept as `values` with that `sign`; every other one cell by cell in `readings`.
    """

    cells: Sequence[Any]
    votes: Counter[str]
    readings: Sequence[Reading] = ()
    values: Float[np.ndarray, " n"] | None = None
    sign: Mark = "point"


def survey(cells: Sequence[Any]) -> Survey:
    """Look at the cells of one column."""
    for sign in _SIGNS:
        values = _all_numbers(cells, sign)
        if values is not None:
            marked = [c for c in cells if isinstance(c, str) and _SIGNS[sign] in c]
            unsure = sum(bool(_GROUPED[_other(sign)].fullmatch(c)) for c in marked)
            votes = Counter({sign: len(marked) - unsure, "unsure": unsure})
            return Survey(cells=cells, votes=votes, values=values, sign=sign)
    memory: dict[str, Reading] = {}
    readings = []
    for cell in cells:
        if not isinstance(cell, str):
            readings.append(read_cell(cell))
            continue
        if cell not in memory:
            memory[cell] = read_cell(cell)
        readings.append(memory[cell])
    return Survey(cells=cells, votes=count_votes(readings), readings=readings)


def _all_numbers(cells: Sequence[Any], sign: Mark) -> Float[np.ndarray, " n"] | None:
    """Return the cells as numbers where all of them are, or are empty, written with one sign."""
    if any(isinstance(cell, str) for cell in cells):
        if not all(isinstance(cell, str) for cell in cells):
            return None
        if not _CHARACTERS[sign].fullmatch("\n".join(cells)):
            return None
        cells = [cell.replace(_SIGNS[sign], ".") or "nan" for cell in cells]
    try:
        values: Float[np.ndarray, " n"] = np.array(cells, dtype=object).astype(np.float64)
    except (TypeError, ValueError):
        return None
    return values if bool((np.isnan(values) | (np.abs(values) <= LARGEST)).all()) else None


def _other(sign: Mark) -> Mark:
    return "comma" if sign == "point" else "point"


def read_column(cells: Sequence[Any], mark: Mark | Literal[""], fallback: Mark) -> Numbers:
    """Read the cells of one column with one decimal sign.

    Without `mark` the cells decide, and `fallback` where they leave it open.
    """
    return settle(survey(cells), mark, fallback)


def settle(found: Survey, mark: Mark | Literal[""], fallback: Mark) -> Numbers:
    """Turn a surveyed column into numbers, as `read_column` does."""
    votes = found.votes
    chosen = mark or decide(votes) or fallback
    is_marked = any(votes.get(name) for name in ("point", "comma", "unsure"))
    told: dict[str, Any] = {
        "mark": chosen if is_marked else "",
        "unsure": 0 if mark or decide(votes) else votes.get("unsure", 0),
    }
    none = np.zeros(0, dtype=np.int64)
    if found.values is not None and (chosen == found.sign or not is_marked):
        return Numbers(values=found.values, bad=none, spelled=none, percent=none, **told)
    readings = found.readings or [read_cell(cell) for cell in found.cells]
    values = [r.comma if chosen == "comma" else r.point for r in readings]
    written = [isinstance(cell, str) and bool(cell.strip()) for cell in found.cells]
    flags = {
        "bad": [v is None and not r.is_missing for v, r in zip(values, readings, strict=True)],
        "spelled": [r.is_missing and w for w, r in zip(written, readings, strict=True)],
        "percent": [r.is_percent and r.is_number for r in readings],
    }
    for name, flag in flags.items():
        told[name] = np.flatnonzero(np.array(flag, dtype=bool))
    numbers = np.array([math.nan if v is None else v for v in values], dtype=np.float64)
    grouped = none if told["unsure"] else _grouped(numbers, readings, chosen)
    return Numbers(values=numbers, grouped=grouped, **told)


def _grouped(
    values: Float[np.ndarray, " n"], readings: Sequence[Reading], chosen: Mark
) -> Int[np.ndarray, " k"]:
    """Return the rows whose other reading has a size nearer to that of the column's sure cells."""
    others = [r.point if chosen == "comma" else r.comma for r in readings]
    other = np.array([math.nan if v is None else v for v in others], dtype=np.float64)
    sure = np.abs(values[~np.isfinite(other) | (other == values)])
    usual = np.median(sure[sure > 0]) if (sure > 0).any() else math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        here, there = (np.abs(np.log(np.abs(x) / usual)) for x in (values, other))
    return np.flatnonzero(here > there)


def read_columns(
    frame: pd.DataFrame, names: Sequence[str], separator: str, mark: Mark | Literal[""] = ""
) -> dict[str, Numbers]:
    """Read several columns, which share their decimal sign where one of them leaves it open."""
    surveys = {name: survey(list(frame[name])) for name in names}
    fallback = mark or table_mark(list(surveys.values()), separator)
    return {name: settle(found, mark, fallback) for name, found in surveys.items()}


def count_votes(readings: Sequence[Reading]) -> Counter[str]:
    """Count cells that are a number with one decimal sign only, or another with each."""
    votes: Counter[str] = Counter()
    for reading in readings:
        if reading.point == reading.comma:
            continue
        if reading.comma is None:
            votes["point"] += 1
        elif reading.point is None:
            votes["comma"] += 1
        else:
            votes["unsure"] += 1
    return votes


def decide(votes: Mapping[str, int]) -> Mark | Literal[""]:
    """Return the decimal sign that more cells need, "" when the cells leave it open."""
    point, comma = votes.get("point", 0), votes.get("comma", 0)
    if point == comma:
        return ""
    return "point" if point > comma else "comma"


def table_mark(columns: Sequence[Survey], separator: str) -> Mark:
    """Return the decimal sign of the table's cells taken together.

    Where no cell decides, commas in numbers are decimal signs between semicolons, and group
    thousands between other separators.
    """
    votes: Counter[str] = Counter()
    for column in columns:
        votes.update(column.votes)
    if found := decide(votes):
        return found
    has_comma = any(isinstance(c, str) and "," in c for column in columns for c in column.cells)
    return "comma" if separator == ";" and has_comma else "point"
