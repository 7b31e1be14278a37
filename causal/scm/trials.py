"""Fine-tuning trials against the fitted graph: predicted beside observed, miss by miss."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from causal.hca.gauge import Gauge
from causal.scm.actions import Span
from causal.scm.intervention import CapabilityModel
from causal.scores.columns import tidy
from causal.scores.domains import BASE_REPOSITORIES
from causal.scores.files import load_table
from causal.scores.numerals import read_columns
from causal.scores.rows import Floats
from workbench.errors import BadRows, TooLittleData, UnknownName
from workbench.result.result import Note
from workbench.result.tables import Table, columns_from

BASELINE = re.compile(r"^(none|base)\b", re.IGNORECASE)
# Changes below this many points are within what re-running an evaluation moves.
NOISE_POINTS = 2.0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One fine-tuning run: what it was trained on, and the scores before and after, in points."""

    model: str
    trained_on: str
    targets: tuple[str, ...]
    before: Floats
    after: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialCheck:
    """One row per trial and benchmark, and what to say about them."""

    table: Table
    notes: tuple[Note, ...]


def read_trials(source: str | Path, benchmarks: Sequence[str]) -> tuple[Trial, ...]:
    """Read trials from any table file: columns `model`, `trained_on` and one per benchmark.

    The row of each model whose `trained_on` starts with "none" is its state before. Names joined
    by `+` are trained together; a name is a benchmark or the beginning of one.

    Raises:
        ModelNotFound: there is no such file.
        BadRows: a column is missing, a score is no number, or a model lacks its state before.
    """
    needed = ("model", "trained_on", *benchmarks)
    raw = tidy(load_table(source), wanted=needed)
    frame = raw.frame.reset_index(drop=True)
    missing = [c for c in needed if c not in frame]
    if missing:
        raise BadRows(f"{raw.source} has no column {', '.join(map(repr, missing))}")
    columns = read_columns(frame, benchmarks, raw.separator)
    scores = pd.DataFrame({name: column.values for name, column in columns.items()})
    if scores.isna().to_numpy().any():
        rows = np.flatnonzero(scores.isna().any(axis=1).to_numpy())[:5]
        lines = rows + 2 if raw.lines is None else raw.lines[rows]
        raise BadRows(f"{raw.source}: scores missing in lines {', '.join(map(str, lines))}")
    frame[["model", "trained_on"]] = frame[["model", "trained_on"]].fillna("").astype(str)
    is_before = frame["trained_on"].str.match(BASELINE)
    before = dict(zip(frame["model"][is_before], scores[is_before].to_numpy(), strict=True))
    orphans = sorted(set(frame["model"]) - before.keys())
    if orphans:
        raise BadRows(f"{raw.source}: no row before training for {', '.join(orphans)}")
    names, trained = list(frame["model"]), list(frame["trained_on"])
    return tuple(
        Trial(
            model=names[i],
            trained_on=trained[i],
            targets=_targets(trained[i], benchmarks),
            before=before[names[i]],
            after=scores.iloc[i].to_numpy(),
        )
        for i in np.flatnonzero(~is_before.to_numpy(dtype=bool))
    )


def _targets(trained_on: str, benchmarks: Sequence[str]) -> tuple[str, ...]:
    found = []
    for word in trained_on.split("+"):
        matches = [b for b in benchmarks if b.lower().startswith(word.strip().lower())]
        if len(matches) != 1:
            return ()
        found.append(matches[0])
    return tuple(found)


def check_trials(model: CapabilityModel, trials: Sequence[Trial]) -> TrialCheck:
    """Predict every score change of every trial and set it beside the observed one.

    Each target moves the capability whose own noise explains most of it; the sizes of the shocks
    are chosen so that the targets change as observed, and the other scores are predictions. A
    base model outside the fit borrows the average response of the fitted domains.

    Raises:
        TooLittleData: there are no trials.
    """
    if not trials:
        raise TooLittleData("no trials to check")
    rows = [row for trial in trials for row in _check_one(model, trial)]
    table = Table.from_rows(rows, _COLUMNS)
    return TrialCheck(table=table, notes=_notes(table))


_COLUMNS = columns_from("""
    before (points): Score of the base model.
    observed (points): Observed change.
    predicted (points; low, high): Change the graph predicts.
    ratio: Predicted over observed, when the observed change exceeds 2 points.
    role: `target` changes are imposed, `other` ones predicted.
    equation: `own` domain, `borrowed` average of the others, or `none`.
""")


def _check_one(model: CapabilityModel, trial: Trial) -> list[dict[str, object]]:
    benchmarks = model.rows.benchmarks
    observed = trial.after - trial.before
    domain = next((d for d, r in BASE_REPOSITORIES.items() if r == trial.model.lower()), "")
    own = domain in model.rows.names
    spans: Sequence[Span | None] = [None] * len(benchmarks)
    if trial.targets:
        domains = [model.domain(domain)] if own else list(range(len(model.rows)))
        spans = _predict(model, domains, trial.targets, observed)
    equation = ("own" if own else "borrowed") if trial.targets else "none"
    rows: list[dict[str, object]] = []
    for j, name in enumerate(benchmarks):
        span, is_target = spans[j], name in trial.targets
        rows.append(
            {
                "model": trial.model,
                "domain": domain,
                "trained_on": trial.trained_on,
                "benchmark": name,
                "role": "target" if is_target else "other",
                "before": float(trial.before[j]),
                "observed": float(observed[j]),
                "predicted": span.value if span else None,
                "low": span.low if span else None,
                "high": span.high if span else None,
                "ratio": _ratio(span, float(observed[j]), is_target),
                "finding": _finding(span, float(observed[j]), is_target),
                "equation": equation,
            }
        )
    return rows


def moved_capability(model: CapabilityModel, benchmark: str, domains: Sequence[int]) -> int:
    """Return the place of the capability whose own noise moves a benchmark most."""
    responses = np.abs(model.gauge.responses[list(domains), model.benchmark(benchmark)])
    return int(responses.mean(axis=0).argmax())


def _predict(
    model: CapabilityModel, domains: list[int], targets: tuple[str, ...], observed: Floats
) -> Sequence[Span | None]:
    places = [moved_capability(model, target, domains) for target in targets]
    rows = [model.benchmark(target) for target in targets]
    used = sorted(set(places))

    def change(gauge: Gauge) -> Floats:
        response = gauge.responses[domains].mean(axis=0)[:, used]
        # Two targets of one capability share one shock, fitted by least squares.
        sizes = np.linalg.lstsq(response[rows], observed[rows], rcond=None)[0]
        moved: Floats = response @ sizes
        return moved

    return model.spans(change)


def _ratio(span: Span | None, observed: float, is_target: bool) -> float | None:
    if span is None or is_target or abs(observed) < NOISE_POINTS:
        return None
    return span.value / observed


def _finding(span: Span | None, observed: float, is_target: bool) -> str:
    if span is None:
        return "not predicted"
    if is_target:
        return "imposed"
    if abs(span.value) < NOISE_POINTS and abs(observed) < NOISE_POINTS:
        return "no change, as predicted"
    if abs(observed) < NOISE_POINTS:
        return "predicted change did not occur"
    if abs(span.value) < NOISE_POINTS:
        return "change not predicted"
    if span.value * observed < 0:
        return "wrong direction"
    ratio = span.value / observed
    if ratio > 2:
        return "overstated"
    return "understated" if ratio < 0.5 else "within a factor of two"


def _notes(table: Table) -> tuple[Note, ...]:
    frame = table.frame
    predicted = frame[(frame["role"] == "other") & frame["predicted"].notna()]
    if predicted.empty:
        raise UnknownName("no trial names benchmarks of this fit, so nothing is predicted")
    counts = predicted["finding"].value_counts()
    wrong = int(
        sum(
            counts.get(f, 0)
            for f in ("overstated", "predicted change did not occur", "wrong direction")
        )
    )
    listed = ", ".join(f"{n} {finding}" for finding, n in counts.items())
    return (
        Note(
            f"{wrong} of {len(predicted)} predicted changes are overstated, absent or of the "
            f"wrong sign: {listed}",
            level="warning",
            code="intervention-check",
        ),
        Note(
            "training on a benchmark's own items can move its score without any capability; "
            "compare with a measurement-only action, which predicts no change elsewhere",
            code="measurement-only",
        ),
        Note(
            "the trials' MATH scores come from the older answer parser, the leaderboard's from "
            "the repaired one; two training mixes are undocumented and not predicted",
            level="warning",
            code="trial-scales",
        ),
    )
