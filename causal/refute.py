"""Refuters: recipes that try to break a fitted graph."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from causal.identification.held_out import held_out_estimate, hold_out
from causal.identification.refit import Case, Cells, Refit, open_case
from causal.identification.survival import ARROW, edge_table, run_table, survival, words
from workbench.errors import BadOption, FitError
from workbench.methods.contracts import Context
from workbench.methods.registry import refuter
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.intervals import permutation_p
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars


@refuter("placebo-domains", source="after Sharma & Kiciman 2020, arXiv:2011.04216")
@dataclass(frozen=True, kw_only=True)
class PlaceboDomains:
    """Deal the models out to domains at random and fit again.

    Placebo domains are all alike, so whatever they give rests on something else than domains: an
    order that they give is chance, and an edge that comes back does not need them. A score as
    low as the graph's under the placebo shows that the score alone is no evidence.

    Units: scores unitless, 0 to 1.
    """

    draws: int = option(50, help="Random deals.", low=5, high=100_000)

    def check(self, found: Result, table: Table, context: Context) -> Result:
        """Deal the domains out and fit again.

        Raises:
            BadOption: the graph does not rest on domains.
        """
        case = open_case(found, table, context)
        _needs_domains(case)

        def deal(cells: Cells, generator: np.random.Generator) -> Cells:
            dealt = cells.domains[generator.permutation(len(cells.domains))]
            return replace(cells, domains=dealt)

        runs = list(_refits(case, deal, self.draws, context))
        scores = np.array([run.score for run in runs if run.score is not None])
        estimates = list(survival(runs, case, "placebo deals"))
        summary = f"{len(runs)} placebo deals: {words(estimates, case)}"
        if len(scores) and case.main.score is not None:
            p = permutation_p(-case.main.score, -scores)
            estimates.append(
                Estimate(
                    name="placebo_p",
                    value=p,
                    unit="",
                    n=len(scores),
                    n_unit="placebo deals",
                    method="share of placebo deals that score as low as the graph",
                )
            )
            summary += f", and a score as low as the graph's has p = {p:.3f}"
        return _result(summary, case, runs, estimates)


@refuter("random-subset", source="after Sharma & Kiciman 2020, arXiv:2011.04216")
@dataclass(frozen=True, kw_only=True)
class RandomSubset:
    """Leave out random models of every domain and fit again.

    A share of 1 leaves nothing out and must give the graph itself.

    Units: effects in points per point.
    """

    share: float = option(0.8, help="Share of models kept.", low=0.1, high=1.0)
    draws: int = option(50, help="Random subsets.", low=5, high=100_000)

    def check(self, found: Result, table: Table, context: Context) -> Result:
        case = open_case(found, table, context)

        def keep(cells: Cells, generator: np.random.Generator) -> Cells:
            parts = [np.flatnonzero(cells.domains == name) for name in cells.names]
            kept = [
                generator.permutation(part)[: max(2, round(self.share * len(part)))]
                for part in parts
            ]
            return cells.take(np.sort(np.concatenate(kept)))

        runs = list(_refits(case, keep, self.draws, context))
        estimates = survival(runs, case, "subsets")
        summary = f"{len(runs)} subsets of {self.share:.0%}: {words(estimates, case)}"
        return _result(summary, case, runs, estimates)


@refuter("random-common-cause", source="after Sharma & Kiciman 2020, arXiv:2011.04216")
@dataclass(frozen=True, kw_only=True)
class RandomCommonCause:
    """Add a hidden cause of all scores, of known strength, and fit again.

    Each model gets one normal value that enters every score with a random weight. A graph whose
    order or effects change under a weak hidden cause says little about a world with such causes.

    Units: strength as a fraction of each score's SD; effects in points per point.
    """

    strength: float = option(0.1, help="SD of the hidden cause / SD of a score.", low=0.0, high=5.0)
    draws: int = option(50, help="Random causes.", low=5, high=100_000)

    def check(self, found: Result, table: Table, context: Context) -> Result:
        case = open_case(found, table, context)
        spread = case.cells.values.std(axis=0) * self.strength

        def disturb(cells: Cells, generator: np.random.Generator) -> Cells:
            weights = generator.standard_normal(len(spread)) * spread
            hidden = generator.standard_normal(len(cells.values))
            return replace(cells, values=cells.values + np.outer(hidden, weights))

        runs = list(_refits(case, disturb, self.draws, context))
        estimates = survival(runs, case, "hidden causes")
        summary = (
            f"with a hidden common cause of {self.strength:g} SD, {len(runs)} refits: "
            f"{words(estimates, case)}"
        )
        return _result(summary, case, runs, estimates)


@refuter("held-out-domain")
@dataclass(frozen=True, kw_only=True)
class HeldOutDomain:
    """Fit all domains but one and ask whether the last one fits their shared map.

    The held-out domain keeps the map and order of the others; only its own triangular matrix is
    fitted. Its inexactness is compared with random rotations of its components.

    Units: inexactness unitless, 0 to 1.
    """

    draws: int = option(999, help="Random rotations.", low=19, high=1_000_000)

    def check(self, found: Result, table: Table, context: Context) -> Result:
        case = open_case(found, table, context)
        names = case.cells.names
        if case.fit is None or len(names) < 2:
            raise BadOption(
                "held-out domains need a hierarchical graph of two domains or more; this is "
                f"one of {case.graph.method} over {len(names)}",
                hint="`random-subset` works for every graph",
            )
        rows = []
        for index, name in enumerate(names):
            context.progress(index, len(names), "held-out domains")
            rows.append(hold_out(case.fit, index, self.draws, context.stream(name), case.options))
        context.progress(len(names), len(names), "held-out domains")
        fitting = [str(row["domain"]) for row in rows if row["p"] is not None and row["p"] < 0.05]
        return Result(
            summary=f"{len(fitting)} of {len(rows)} held-out domains fit the map of the others "
            f"better than random rotations do ({', '.join(fitting) or 'none'})",
            tables={
                "held_out": Table.from_rows(
                    rows,
                    {
                        "inexactness": Column("", "With the map of the other domains."),
                        "null_median": Column("", "Median under random rotations."),
                        "p": Column("", "Share of random rotations that fit as well."),
                    },
                )
            },
            estimates=tuple(map(held_out_estimate, rows)),
            views=(
                Bars(
                    "Held-out domains",
                    "held_out",
                    x="domain",
                    y="inexactness",
                    control="null_median",
                ),
            ),
            graph=case.graph,
        )


def _needs_domains(case: Case) -> None:
    if len(case.cells.names) < 2:
        raise BadOption(
            "the graph rests on one domain, so dealing models out to domains changes nothing",
            hint="`random-subset` works for every graph",
        )
    uses = case.graph.facts.get("discovery") == "cd-nod" or case.fit is not None
    if case.scope == "pooled" and not uses:
        raise BadOption(
            "the graph was fitted to pooled rows, which do not look at domains, so dealing "
            "models out to them changes nothing",
            hint="`random-subset` works for every graph",
        )


def _refits(
    case: Case,
    disturb: Callable[[Cells, np.random.Generator], Cells],
    draws: int,
    context: Context,
) -> Iterator[Refit]:
    generator = context.stream("refits")
    done = 0
    for draw in range(draws):
        context.progress(draw, draws, "refits")
        run = case.refit(disturb(case.cells, generator), generator)
        if run is not None:
            done += 1
            yield run
    context.progress(draws, draws, "refits")
    if not done:
        raise FitError(f"none of {draws} disturbed data sets could be fitted")


def _result(summary: str, case: Case, runs: list[Refit], estimates: Sequence[Estimate]) -> Result:
    tables = {"runs": run_table(runs, case), "edges": edge_table(runs, case)}
    views: tuple[Bars, ...] = ()
    notes: tuple[Note, ...] = ()
    if case.main.order:
        tables["orders"] = _tally(runs, case)
        views = (Bars("Orders after the disturbance", "orders", x="order", y="share"),)
        notes = (Note(f"the graph's own order is {ARROW.join(case.main.order)}"),)
    return Result(
        summary=summary,
        estimates=tuple(estimates),
        tables=tables,
        notes=notes,
        views=views,
        graph=case.graph,
    )


def _tally(runs: list[Refit], case: Case) -> Table:
    counts: dict[str, int] = {ARROW.join(case.main.order): 0}
    for run in runs:
        name = ARROW.join(run.order)
        counts[name] = counts.get(name, 0) + 1
    rows = [
        {"order": o, "share": c / len(runs)}
        for o, c in sorted(counts.items(), key=lambda item: -item[1])
    ]
    return Table.from_rows(rows, {"share": Column("proportion", "Refits with this order.")})
