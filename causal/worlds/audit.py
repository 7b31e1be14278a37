"""Labels of a released file beside what the exact engine computes, with a proof of each error."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from causal.worlds.calm_rows import FILE
from causal.worlds.judging import FORMATS, Format, Judgement
from causal.worlds.released_models import beside, models_of
from causal.worlds.released_rows import BadRow, Row, read_rows
from workbench.errors import DataError, WorkbenchError
from workbench.progress import Progress, silent
from workbench.result.estimate import Estimate
from workbench.result.intervals import grouped_proportion_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A row and its judgement."""

    line: int
    id: str
    found: Judgement


def audit(path: Path, *, models: Path | None = None, progress: Progress = silent) -> Result:
    """Judge every row of a released file; its set is told by its content.

    Raises:
        DataError: the file cannot be read, no row is of a known set, or none could be judged.
    """
    rows, bad = read_rows(path)
    form = _format(rows, path)
    known = models_of([models] if models else beside(path)) if form.name == "CLadder" else {}
    judged = []
    for i, row in enumerate(rows):
        try:
            if not form.is_row(row.values):
                raise DataError(f"no row of {form.name}")
            found = form.judge({**row.values, FILE: path.name}, known)
        except (WorkbenchError, TypeError, ValueError, KeyError, IndexError) as error:
            bad.append(BadRow(line=row.line, reason=_reason(error)))
            continue
        name = str(row.values.get("question_id", row.values.get("id", row.line)))
        judged.append(Judged(line=row.line, id=name, found=found))
        progress(i + 1, len(rows), "rows")
    if not judged:
        reasons = Counter(row.reason for row in bad).most_common(1)[0][0]
        raise DataError(
            f"none of the {len(rows)} rows of {path} could be judged as {form.name}: {reasons}",
            hint="--models FILE where the questions name models of another file",
        )
    return _report(path, form, judged, sorted(bad, key=lambda row: row.line))


def _format(rows: Sequence[Row], path: Path) -> Format:
    counts = {form: sum(form.is_row(row.values) for row in rows) for form in FORMATS}
    # A set with stricter rows stands before one whose rows are any questions.
    best = max(counts.values())
    if best == 0:
        fields = ", ".join(map(str, rows[0].values))
        raise DataError(
            f"{path} is of no known set: its first row has {fields or 'no fields'}",
            hint=f"known: {', '.join(form.name for form in FORMATS)}",
        )
    return next(form for form, n in counts.items() if n == best)


def _reason(error: Exception) -> str:
    if isinstance(error, WorkbenchError):
        return error.message
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def _report(path: Path, form: Format, judged: Sequence[Judged], bad: Sequence[BadRow]) -> Result:
    wrong = [row for row in judged if row.found.is_wrong]
    open_ = [row for row in judged if not row.found.computed]
    estimate = _wrong_share("wrong labels", judged)
    tables = {
        "kinds": _by_kind(judged),
        "wrong": _listed(wrong, path),
        "undecided": _listed(open_, path),
        "bad_rows": Table.from_rows(
            [{"source": f"{path.name}:{row.line}", "reason": row.reason} for row in bad]
        ),
    }
    told = f"{len(wrong)} of {len(judged)} labels of {path.name} ({form.name}) are wrong"
    if not wrong:
        told = f"no label of {len(judged)} in {path.name} ({form.name}) is wrong"
    return Result(
        summary=f"{told}; {len(open_)} are left open by what is given; {len(bad)} rows unusable.",
        estimates=(estimate, *_clear(judged)),
        tables={name: table for name, table in tables.items() if len(table)},
        notes=_notes(judged, bad),
        views=(Bars("Wrong labels by kind", "kinds", x="kind", y="wrong"),),
    )


def _wrong_share(name: str, judged: Sequence[Judged]) -> Estimate:
    groups = [row.found.group for row in judged]
    return grouped_proportion_estimate(
        name, [float(row.found.is_wrong) for row in judged], groups, n_unit="rows"
    )


def _clear(judged: Sequence[Judged]) -> tuple[Estimate, ...]:
    """Return the share among rows that no rounding decides, where some are decided by it."""
    clear = [row for row in judged if not row.found.note]
    is_some = 0 < len(clear) < len(judged)
    return (_wrong_share("wrong labels beyond rounding", clear),) if is_some else ()


def _by_kind(judged: Sequence[Judged]) -> Table:
    rows = []
    for kind in sorted({row.found.family for row in judged}):
        mine = [row for row in judged if row.found.family == kind]
        share = _wrong_share(kind, mine)
        rows.append(
            {
                "kind": kind,
                "rows": len(mine),
                "groups": len({row.found.group for row in mine}),
                "wrong": share.value,
                "wrong_low": share.low,
                "wrong_high": share.high,
                "n_wrong": sum(row.found.is_wrong for row in mine),
                "n_undecided": sum(not row.found.computed for row in mine),
            }
        )
    wrong = Column("proportion", "Share of wrong labels.", low="wrong_low", high="wrong_high")
    return Table.from_rows(rows, {"wrong": wrong})


def _listed(judged: Sequence[Judged], path: Path) -> Table:
    rows: list[dict[str, Any]] = [
        {
            "source": f"{path.name}:{row.line}",
            "id": row.id,
            "kind": row.found.family,
            "stated": row.found.stated,
            "computed": row.found.computed,
            "proof": "; ".join(row.found.proof),
            "note": row.found.note,
        }
        for row in judged
    ]
    return Table.from_rows(rows, {"proof": Column("", "Why the computed label holds.")})


def _notes(judged: Sequence[Judged], bad: Sequence[BadRow]) -> tuple[Note, ...]:
    near = [row for row in judged if row.found.note]
    found = []
    if near:
        n = sum(row.found.is_wrong for row in near)
        found.append(
            Note(
                f"{len(near)} rows are decided by less than 0.005; {n} of them are wrong",
                code="near",
            )
        )
    if bad:
        reasons = Counter(row.reason for row in bad).most_common(3)
        told = "; ".join(f"{n} × {reason}" for reason, n in reasons)
        found.append(Note(f"{len(bad)} rows could not be judged: {told}", "warning", "bad-rows"))
    return tuple(found)
