"""What every wrapped algorithm shares: its options, its table, its facts."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from causal.scores.leaderboard import ScoreTable
from causal.scores.table_options import TableOptions
from causal.searches.abilities import ABILITIES
from causal.searches.edge_report import failures, report
from causal.searches.fitting import categories
from causal.searches.knowledge import Knowledge, read_knowledge
from causal.searches.stability import Fitted, Rows, Scope, Search, fit, split
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Unfitted
from workbench.options import option, plain
from workbench.result.result import Result
from workbench.result.tables import Table


@dataclass(frozen=True, kw_only=True)
class Wrapped(TableOptions):
    """The options that all wrapped algorithms share; subclasses name theirs."""

    algorithms: ClassVar[tuple[str, ...]] = ()
    assumption: ClassVar[str] = ""

    scope: Literal["pooled", "centred", "domain", "all"] = option(
        "centred", help="Rows shown: all, less the domain's mean, each domain, or all three ways."
    )
    alpha: float = option(0.01, help="Level of the independence tests.", low=1e-6, high=0.5)
    resamples: int = option(20, help="Bootstrap resamples for stability.", low=0, high=1000)
    orders: int = option(5, help="Orders of the columns tried.", low=1, high=100)
    seconds: float = option(60.0, help="Time limit of one fit.", low=1, unit="s")
    require: tuple[str, ...] = option((), help="Edges that must be there, CAUSE->EFFECT.")
    forbid: tuple[str, ...] = option((), help="Edges that must not be there, CAUSE->EFFECT.")
    tiers: str = option("", help="Columns by time, earliest first, such as `a,b;c`.")

    @property
    def criteria(self) -> tuple[str, str]:
        """The independence test and the score of a graph; auto where there is no choice."""
        return "auto", "auto"

    def fit(self, table: Table, context: Context) -> Result:
        """Fit every algorithm to every matrix of the scope.

        Raises:
            TooLittleData: no domain has enough models.
            BadOption: knowledge that the algorithm cannot use.
            Unfitted: no fit gave a graph; its result names the reasons.
        """
        scores = self.rows_of(table)
        known = read_knowledge(
            scores.benchmarks, require=self.require, forbid=self.forbid, tiers=self.tiers
        )
        if len(self.algorithms) == 1 and (reason := self._refusal(self.algorithms[0], known)):
            raise BadOption(reason, hint="`pc`, `cd-nod`, `exact-search` and `direct-lingam` can")
        fitted = self._fit_all(scores, known, context)
        result = report(fitted, scores, self.assumption, self._facts(scores, context))
        if all(f.failure for f in fitted):
            raise Unfitted(
                f"no graph: {failures(fitted)}",
                result=replace(result, graph=None, views=()),
                hint="try other columns, rows, or another --scope",
            )
        return result

    def rows_of(self, table: Table) -> ScoreTable:
        """Return the rows that are fitted: cleaned, of domains with enough models.

        Raises:
            TooLittleData: no domain has enough models.
        """
        return self.enough(self.scores_of(table))

    def _fit_all(self, scores: ScoreTable, known: Knowledge, context: Context) -> list[Fitted]:
        scopes: tuple[Scope, ...] = ("pooled", "centred", "domain")
        if not scores.has_domains:
            scopes = ("pooled",)
        chosen = scopes if self.scope == "all" else (self.scope,)
        jobs = [
            (name, rows)
            for name in self.algorithms
            for scope in chosen
            for rows in self._split(name, scores, scope)
        ]
        total, done = len(jobs) * (self.resamples + 1), [0]

        def tick() -> None:
            done[0] += 1
            context.progress(min(done[0], total), total, "fits")

        fitted = []
        for i, job in enumerate(jobs):
            fitted.append(self._fit_one(job, scores, known, context, tick))
            done[0] = (i + 1) * (self.resamples + 1)
            context.progress(done[0], total, "fits")
        return fitted

    def _split(self, name: str, scores: ScoreTable, scope: Scope) -> list[Rows]:
        named = np.isin(scores.benchmarks, list(scores.report.levels))
        kept = categories(name, scores.scores, named, *self.criteria)
        labels = list(map(str, scores.facts["domain"]))
        return split(scores.scores, labels, scope, scores.benchmarks, kept)

    def _fit_one(
        self,
        job: tuple[str, Rows],
        scores: ScoreTable,
        known: Knowledge,
        context: Context,
        tick: Callable[[], None],
    ) -> Fitted:
        name, rows = job
        if reason := self._refusal(name, known):
            return Fitted(
                algorithm=name, scope=rows.scope, group=rows.group, n=len(rows.data), failure=reason
            )
        test, score = self.criteria
        search = Search(
            algorithm=name,
            alpha=self.alpha,
            resamples=self.resamples,
            seconds=self.seconds,
            seed=context.seed,
            test=test,
            score=score,
            orders=self.orders,
            categories=tuple(scores.report.levels),
            knowledge=known,
        )
        stream = context.stream(f"{name} {rows.scope} {rows.group}")
        return fit(search, rows, generator=stream, tick=tick)

    def _refusal(self, algorithm: str, known: Knowledge) -> str:
        """Return why an algorithm cannot use what is known, empty if it can."""
        given = {
            "required": known.required,
            "forbidden": known.forbidden,
            "tiers": known.later,
        }
        can = ABILITIES[algorithm].known
        lost = [word for word, edges in given.items() if edges and word not in can]
        words = {"required": "required edges", "forbidden": "forbidden edges", "tiers": "tiers"}
        return f"{algorithm} cannot use {' or '.join(words[w] for w in lost)}" if lost else ""

    def _facts(self, scores: ScoreTable, context: Context) -> dict[str, Any]:
        """Return what it takes to fit the same graph again."""
        only = self.algorithms[0] if len(self.algorithms) == 1 else ""
        return {
            "discovery": only or "side-by-side",
            "options": plain(self),
            "seed": context.seed,
            "resamples": context.resamples,
            "benchmarks": list(scores.benchmarks),
            "domains": list(scores.domain_counts()),
            "models": len(scores),
            "snapshot": asdict(scores.snapshot),
            "cleaning": scores.cleaning_facts(),
        }
