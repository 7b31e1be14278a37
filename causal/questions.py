"""Questions about a fitted hierarchical graph: interventions, placements, trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from causal._actions import Action, Change, Do, Floats, Measure, Shock, Span
from causal._answers import changes_table, paths_table, placement_tables, support_table
from causal._bootstrap import BootstrapOptions, bootstrap_fit
from causal._refit import Case, open_case
from causal.intervention import CapabilityModel
from causal.leaderboard import ScoreTable, from_table
from causal.place import place
from causal.trials import check_trials, read_trials
from workbench.errors import BadOption, UnknownName
from workbench.methods.contracts import Context
from workbench.methods.registry import question
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Table
from workbench.result.views import Bars, Points

SCALE = (0.0, 100.0)
_IDENTIFIED = Note(
    "the graph's order is not identified: answers hold under the assumption of its best order",
    "warning",
    "order-assumed",
)


@question("what-if", source="Pearl 2009, chapter 7 (abduction, action, prediction)")
@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """Change a capability or a score of one model and predict its scores.

    A shock adds to a capability's own noise, `do` sets a capability and cuts its causes, and
    `measure` changes one score without any capability. The model's own noise is inferred from
    its scores and kept.

    Units: points of the leaderboard; shocks in standard deviations of the capability's noise
    unless `unit` says points. Intervals resample models within domains.
    """

    domain: str = option("", help="Base model; inferred when a leaderboard model is named.")
    model: str = option("", help="Leaderboard model; without one, the domain's mean scores.")
    scores: tuple[str, ...] = option((), help="Own scores instead, BENCHMARK=POINTS each.")
    shock: tuple[str, ...] = option((), help="CAPABILITY=SIZE, such as z2=1.")
    do: tuple[str, ...] = option((), help="CAPABILITY=POINTS.")
    measure: tuple[str, ...] = option((), help="BENCHMARK=POINTS added to the score alone.")
    unit: Literal["sd", "points"] = option("sd", help="Unit of shocks.")
    draws: int = option(100, help="Resamples for intervals.", low=0, high=10_000)

    def ask(self, found: Result, table: Table, context: Context) -> Result:
        """Abduct, act, predict.

        Raises:
            BadOption: nothing to do, or a malformed NAME=NUMBER.
            UnknownName: no such model, domain, capability or benchmark.
        """
        scores, model = _open(found, table, context, self.draws)
        actions = self._actions() or (Shock(capability="z1", size=1.0),)
        domain, x = _subject(self, scores, model)
        answer = model.what_if(domain, x, actions)
        moved = max(answer.scores, key=lambda c: abs(c.after.value - c.before))
        done = ", ".join(map(_said, actions))
        return Result(
            summary=f"{done} in {domain}: {_moved(moved)} moves most.",
            estimates=tuple(_estimate(c, len(model.draws)) for c in answer.scores),
            tables={
                "scores": changes_table(answer.scores),
                "capabilities": changes_table(answer.capabilities, intervals=False),
                "paths": paths_table(model, domain),
                "support": support_table(model, domain),
            },
            notes=(
                *_caveats(found),
                *(Note(text, "warning", "support") for text in answer.warnings),
            ),
            views=(
                Bars(title="Predicted change of every score", table="scores", x="name", y="change"),
            ),
        )

    def _actions(self) -> tuple[Action, ...]:
        shocks = [Shock(capability=n, size=v, unit=self.unit) for n, v in pairs(self.shock)]
        fixed = [Do(capability=n, value=v) for n, v in pairs(self.do)]
        return (*shocks, *fixed, *(Measure(benchmark=n, change=v) for n, v in pairs(self.measure)))


@question("place")
@dataclass(frozen=True, kw_only=True)
class Place:
    """Place a model by its scores: capabilities, percentiles, residual, neighbours.

    Missing scores are predicted from the given ones over the models of the same base model.

    Units: points of the leaderboard; percentiles within the domain; surprises in standard
    deviations of the domain's residuals.
    """

    domain: str = option("", help="Base model; inferred when a leaderboard model is named.")
    model: str = option("", help="Leaderboard model to place.")
    scores: tuple[str, ...] = option((), help="Own scores, BENCHMARK=POINTS each; some may lack.")
    neighbours: int = option(5, help="Nearest models shown.", low=1, high=100)

    def ask(self, found: Result, table: Table, context: Context) -> Result:
        """Place one model.

        Raises:
            BadOption: no score was given, or a malformed NAME=NUMBER.
            UnknownName: no such model, domain or benchmark.
        """
        table_scores, model = _open(found, table, context, 0)
        domain, given = _given(self, table_scores, model)
        names = table_scores.frame.loc[table_scores.frame["domain"] == domain, "model"]
        placed = place(
            model, domain, given, names=tuple(map(str, names)), neighbours=self.neighbours
        )
        best = max(placed.standings, key=lambda s: s.percentile)
        return Result(
            summary=(
                f"Among {placed.rows} models of {domain}: {best.capability} at percentile "
                f"{best.percentile:.0f}, residual at percentile {placed.residual_percentile:.0f}."
            ),
            estimates=tuple(
                Estimate(
                    name=f"{s.capability} percentile",
                    value=s.percentile,
                    unit="percentile",
                    n=placed.rows,
                    n_unit="models",
                )
                for s in placed.standings
            ),
            tables=placement_tables(placed),
            notes=(*_caveats(found), *(Note(text, "warning") for text in placed.warnings)),
            views=(
                Bars(title="Capabilities", table="standings", x="capability", y="percentile"),
                Points(
                    title="Given and reconstructed scores",
                    table="scores",
                    x="reconstructed",
                    y="value",
                    label="benchmark",
                    diagonal=True,
                ),
            ),
        )


@question("trials", source="causal-eval repository, fine-tuning runs on four base models")
@dataclass(frozen=True, kw_only=True)
class Trials:
    """Set the graph's predictions beside real fine-tuning runs.

    Units: points of the leaderboard.
    """

    path: str = option("", help="CSV with model, trained_on and one column per benchmark.")
    draws: int = option(100, help="Resamples for intervals.", low=0, high=10_000)

    def ask(self, found: Result, table: Table, context: Context) -> Result:
        """Predict every trial.

        Raises:
            BadOption: no file was named.
        """
        if not self.path:
            raise BadOption("trials need a file", hint="--path sft_interventions.csv")
        _, model = _open(found, table, context, self.draws)
        check = check_trials(model, read_trials(self.path, model.rows.benchmarks))
        rows = [r for r in check.table.rows() if r["role"] == "other" and r["ratio"] is not None]
        over = sum(r["ratio"] > 1.5 for r in rows)
        wrong = sum(r["ratio"] < 0 for r in rows)
        return Result(
            summary=(
                f"Of {len(rows)} observed changes above 2 points that the graph predicts, it "
                f"overstates {over} by half or more and gets the sign of {wrong} wrong."
            ),
            tables={"trials": check.table},
            notes=(*_caveats(found), *check.notes),
            views=(
                Points(
                    title="Predicted against observed change",
                    table="trials",
                    x="observed",
                    y="predicted",
                    color="role",
                    label="benchmark",
                    diagonal=True,
                ),
            ),
        )


def pairs(items: Sequence[str]) -> list[tuple[str, float]]:
    """Read NAME=NUMBER items.

    Raises:
        BadOption: items that are not of that form, all at once.
    """
    found, bad = [], []
    for item in items:
        name, _, number = item.rpartition("=")
        try:
            found.append((name.strip(), float(number)))
        except ValueError:
            bad.append(item)
        if not name and item not in bad:
            bad.append(item)
    if bad:
        raise BadOption(f"{', '.join(map(repr, bad))}: expected NAME=NUMBER", hint="z2=1.5")
    return found


def _open(
    found: Result, table: Table, context: Context, draws: int
) -> tuple[ScoreTable, CapabilityModel]:
    case: Case = open_case(found, table, context)
    if case.fit is None:
        raise BadOption(
            f"a graph of {case.graph.method} has no capabilities to act on",
            hint="ask a graph that `workbench causal fit hierarchical` found",
        )
    boot = None
    if draws > 1:
        options = BootstrapOptions(resamples=draws, seed=context.seed, keep=context.scratch)
        boot = bootstrap_fit(case.fit, options=options, progress=context.progress)
    return from_table(table), CapabilityModel.of(case.fit, boot, scale=SCALE)


def _subject(asked: WhatIf, scores: ScoreTable, model: CapabilityModel) -> tuple[str, Floats]:
    benchmarks = model.rows.benchmarks
    domain, given = _given(asked, scores, model)
    mean = model.rows.blocks[model.domain(domain)].mean(axis=0)
    return domain, np.array([given.get(b, m) for b, m in zip(benchmarks, mean, strict=True)])


def _given(
    asked: WhatIf | Place, scores: ScoreTable, model: CapabilityModel
) -> tuple[str, dict[str, float]]:
    given: dict[str, float] = {}
    domain = asked.domain
    if asked.model:
        rows = scores.frame[scores.frame["model"].str.lower() == asked.model.lower()]
        if rows.empty:
            raise UnknownName(f"no model {asked.model!r} in the table", hint="use its full name")
        row = rows.iloc[0]
        domain = domain or str(row["domain"])
        given = {b: float(row[b]) for b in model.rows.benchmarks}
    given.update(pairs(asked.scores))
    return domain or model.rows.names[0], given


def _said(action: Action) -> str:
    if isinstance(action, Shock):
        return f"{action.capability} shocked by {action.size:g} {action.unit}"
    if isinstance(action, Do):
        return f"{action.capability} set to {action.value:g}"
    return f"{action.benchmark} measured {action.change:+g} points"


def _moved(change: Change) -> str:
    span: Span = change.after
    interval = ""
    if span.low is not None and span.high is not None:
        interval = f" [{span.low - change.before:+.1f}, {span.high - change.before:+.1f}]"
    return f"{change.name} {span.value - change.before:+.1f}{interval} points"


def _estimate(change: Change, draws: int) -> Estimate:
    span = change.after
    return Estimate(
        name=f"{change.name} change",
        value=span.value - change.before,
        unit="points",
        n=draws,
        n_unit="resamples",
        low=None if span.low is None else min(span.low, span.value) - change.before,
        high=None if span.high is None else max(span.high, span.value) - change.before,
        method="stratified bootstrap of models within domains" if draws else "",
    )


def _caveats(found: Result) -> tuple[Note, ...]:
    return () if found.graph is not None and found.graph.identified else (_IDENTIFIED,)
