"""Questions about a stored hierarchical graph: interventions, paths, placements, trials."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from causal.scm.actions import Action, Do, Measure, Shock
from causal.scm.answers import answer_paths, answer_placement, answer_trials, answer_what_if
from causal.scm.intervention import CapabilityModel
from causal.scm.place import place
from causal.scm.stored import domain_models, model_of
from causal.scm.trials import check_trials, read_trials
from causal.scores.leaderboard import from_table
from causal.scores.rows import Floats
from workbench.errors import BadOption, UnknownName
from workbench.methods.contracts import Context
from workbench.methods.registry import question
from workbench.options import option
from workbench.result.result import Note, Result
from workbench.result.tables import Table, columns_from

SCALE = (0.0, 100.0)
_ASSUMED = Note(
    "the graph's order is not identified: the answer holds under its best-scoring order",
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

    def ask(self, found: Result, table: Table, context: Context) -> Result:
        """Abduct, act, predict.

        Raises:
            BadOption: a malformed NAME=NUMBER, or no hierarchical graph.
            UnknownName: no such model, domain, capability or benchmark.
        """
        model = model_of(found, scale=SCALE)
        actions = self._actions() or (Shock(capability="z1", size=1.0),)
        domain, given = _given(self, table, model)
        mean = model.rows.blocks[model.domain(domain)].mean(axis=0)
        x: Floats = np.array(
            [given.get(b, m) for b, m in zip(model.rows.benchmarks, mean, strict=True)]
        )
        answer = answer_what_if(model, model.what_if(domain, x, actions), actions)
        support = Table.from_rows(
            map(vars, model.support(domain)),
            columns_from("""
                lowest (points): The lowest model.
                highest (points): The highest model.
                low (points): 1 in 100 models lies below.
                high (points): 1 in 100 models lies above.
                median (points): Half of the models lie below.
            """),
        )
        return _with_caveat(replace(answer, tables={**answer.tables, "support": support}), found)

    def _actions(self) -> tuple[Action, ...]:
        shocks = [Shock(capability=n, size=v, unit=self.unit) for n, v in pairs(self.shock)]
        fixed = [Do(capability=n, value=v) for n, v in pairs(self.do)]
        return (*shocks, *fixed, *(Measure(benchmark=n, change=v) for n, v in pairs(self.measure)))


@question("effects", source="Wright 1934 (path coefficients)")
@dataclass(frozen=True, kw_only=True)
class Effects:
    """Split the effect of one capability on another into direct and indirect, path by path.

    Units: points per point. Intervals resample models within domains.
    """

    cause: str = option("z1", help="Capability that acts: its name, its anchor, or its rank as z1.")
    effect: str = option("z3", help="Capability that is acted on.")
    domain: str = option("", help="Base model; the first of the fit when none is given.")

    def ask(self, found: Result, table: Table, context: Context) -> Result:
        """Follow every path.

        Raises:
            BadOption: the cause does not come before the effect.
            UnknownName: no such capability or domain.
        """
        model = model_of(found)
        domain = self.domain or model.rows.names[0]
        n = len(model.rows.blocks[model.domain(domain)])
        paths = model.paths(domain, self.cause, self.effect)
        return _with_caveat(answer_paths(paths, domain=domain, n=n), found)


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
        model = model_of(found, scale=SCALE)
        domain, given = _given(self, table, model)
        placed = place(
            model,
            domain,
            given,
            names=domain_models(found, domain),
            neighbours=self.neighbours,
        )
        return _with_caveat(answer_placement(placed), found)


@question("trials", source="causal-eval repository, fine-tuning runs on four base models")
@dataclass(frozen=True, kw_only=True)
class Trials:
    """Set the graph's predictions beside real fine-tuning runs.

    Units: points of the leaderboard.
    """

    path: str = option("", help="CSV with model, trained_on and one column per benchmark.")

    def ask(self, found: Result, table: Table, context: Context) -> Result:
        """Predict every trial.

        Raises:
            BadOption: no file was named.
        """
        if not self.path:
            raise BadOption("trials need a file", hint="--path sft_interventions.csv")
        model = model_of(found, scale=SCALE)
        check = check_trials(model, read_trials(self.path, model.rows.benchmarks))
        return _with_caveat(answer_trials(check), found)


def pairs(items: Sequence[str]) -> list[tuple[str, float]]:
    """Read NAME=NUMBER items.

    Raises:
        BadOption: items that are not of that form, all at once.
    """
    found, bad = [], []
    for item in items:
        name, _, number = item.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = np.nan
        if name.strip() and np.isfinite(value):
            found.append((name.strip(), value))
        else:
            bad.append(item)
    if bad:
        raise BadOption(f"{', '.join(map(repr, bad))}: expected NAME=NUMBER", hint="z2=1.5")
    return found


def _given(
    asked: WhatIf | Place, table: Table, model: CapabilityModel
) -> tuple[str, dict[str, float]]:
    given: dict[str, float] = {}
    domain = asked.domain
    if asked.model:
        scores = from_table(table, scores=model.rows.benchmarks)
        found = np.flatnonzero(scores.facts["model"].str.lower() == asked.model.lower())
        if not len(found):
            raise UnknownName(f"no model {asked.model!r} in the table", hint="use its full name")
        domain = domain or str(scores.facts["domain"].iloc[found[0]])
        given = {b: float(scores.numbers[b].iloc[found[0]]) for b in model.rows.benchmarks}
    given.update(pairs(asked.scores))
    return domain or model.rows.names[0], given


def _with_caveat(answer: Result, found: Result) -> Result:
    if found.graph is not None and found.graph.identified:
        return answer
    return replace(answer, notes=(_ASSUMED, *answer.notes))
