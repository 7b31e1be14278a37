"""Refuters: recipes that try to break a fitted graph."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from causal.hca.fit import HierarchicalFit, fit_domains
from causal.hca.ica import IcaOptions, fit_ica
from causal.hca.triangular import row_inexactness
from causal.identification.refit import Case, Refit, open_case
from causal.scores.rows import DomainRows, Floats
from workbench.errors import BadOption, FitError
from workbench.methods.contracts import Context
from workbench.methods.registry import refuter
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.intervals import permutation_p, proportion_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars

ARROW = " → "
RUN_COLUMNS = {
    "score": Column("", "Max-inexactness of the refit, 0 to 1."),
    "same_order": Column("", "Whether the order is that of the graph."),
    "shared_edges": Column("proportion", "Directed edges of the graph that the refit has too."),
    "effect_change": Column("points per point", "Largest change of a shared effect."),
}


@refuter("placebo-domains", source="after Sharma & Kiciman 2020, arXiv:2011.04216")
@dataclass(frozen=True, kw_only=True)
class PlaceboDomains:
    """Deal the models out to domains at random and fit again.

    Placebo domains are all alike, so whatever order they give is chance. A finding that survives
    keeps its order less often under the placebo than chance and resampling would explain; a
    score as low as the graph's under the placebo shows that the score alone is no evidence.

    Units: scores unitless, 0 to 1.
    """

    draws: int = option(50, help="Random deals.", low=5, high=100_000)

    def check(self, found: Result, table: Table, context: Context) -> Result:
        case = open_case(found, table, context)
        runs = list(_refits(case, lambda rows, g: rows.shuffle(g), self.draws, context))
        scores = np.array([run.score for run in runs if run.score is not None])
        same = sum(run.order == case.main.order for run in runs)
        estimates = [_same_order(same, len(runs), "placebo deals")]
        summary = f"{same} of {len(runs)} placebo deals give the order of the graph"
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
        return _result(summary, case, runs, tuple(estimates))


@refuter("random-subset", source="after Sharma & Kiciman 2020, arXiv:2011.04216")
@dataclass(frozen=True, kw_only=True)
class RandomSubset:
    """Leave out random models of every domain and fit again.

    Units: effects in points per point.
    """

    share: float = option(0.8, help="Share of models kept.", low=0.1, high=0.99)
    draws: int = option(50, help="Random subsets.", low=5, high=100_000)

    def check(self, found: Result, table: Table, context: Context) -> Result:
        case = open_case(found, table, context)

        def keep(rows: DomainRows, generator: np.random.Generator) -> DomainRows:
            return rows.replace(
                [
                    b[generator.permutation(len(b))[: max(2, round(self.share * len(b)))]]
                    for b in rows.blocks
                ]
            )

        runs = list(_refits(case, keep, self.draws, context))
        same = sum(run.order == case.main.order for run in runs)
        summary = f"{same} of {len(runs)} subsets of {self.share:.0%} give the order of the graph"
        return _result(summary, case, runs, (_same_order(same, len(runs), "subsets"),))


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
        spread = case.rows.pooled.std(axis=0) * self.strength

        def disturb(rows: DomainRows, generator: np.random.Generator) -> DomainRows:
            weights = generator.standard_normal(len(spread)) * spread
            return rows.replace(
                [b + np.outer(generator.standard_normal(len(b)), weights) for b in rows.blocks]
            )

        runs = list(_refits(case, disturb, self.draws, context))
        same = sum(run.order == case.main.order for run in runs)
        summary = (
            f"with a hidden common cause of {self.strength:g} SD, {same} of {len(runs)} refits "
            "give the order of the graph"
        )
        return _result(summary, case, runs, (_same_order(same, len(runs), "hidden causes"),))


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
        if case.fit is None or len(case.rows) < 2:
            raise BadOption("held-out domains need a hierarchical graph of two domains or more")
        rows = []
        for index, name in enumerate(case.rows.names):
            context.progress(index, len(case.rows), "held-out domains")
            rows.append(_hold_out(case.fit, index, self.draws, context.stream(name)))
        context.progress(len(case.rows), len(case.rows), "held-out domains")
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
            estimates=tuple(map(_held_out_estimate, rows)),
            views=(
                Bars(
                    title="Held-out domains",
                    table="held_out",
                    x="domain",
                    y="inexactness",
                    control="null_median",
                ),
            ),
            graph=case.graph,
        )


def _held_out_estimate(row: dict[str, Any]) -> Estimate:
    return Estimate(
        name=f"held_out {row['domain']}",
        value=row["inexactness"],
        unit="",
        n=int(row["rows"] or 0),
        n_unit="models",
        control=row["null_median"],
        control_name="random rotations",
        note=str(row["problem"] or ""),
    )


def _refits(
    case: Case,
    disturb: Callable[[DomainRows, np.random.Generator], DomainRows],
    draws: int,
    context: Context,
) -> Iterator[Refit]:
    generator = context.stream("refits")
    done = 0
    for draw in range(draws):
        context.progress(draw, draws, "refits")
        run = case.refit(disturb(case.rows, generator), generator)
        if run is not None:
            done += 1
            yield run
    context.progress(draws, draws, "refits")
    if not done:
        raise FitError(f"none of {draws} disturbed data sets could be fitted")


def _same_order(same: int, n: int, unit: str) -> Estimate:
    return proportion_estimate("same_order", same, n, n_unit=unit)


def _result(summary: str, case: Case, runs: list[Refit], estimates: tuple[Estimate, ...]) -> Result:
    rows = []
    for run in runs:
        shared = [pair for pair in case.main.edges if pair in run.edges]
        changes = [abs(run.edges[pair] - case.main.edges[pair]) for pair in shared]
        rows.append(
            {
                "order": ARROW.join(run.order),
                "score": run.score,
                "same_order": run.order == case.main.order,
                "shared_edges": len(shared) / max(len(case.main.edges), 1),
                "effect_change": max(changes) if changes else None,
            }
        )
    return Result(
        summary=summary,
        estimates=estimates,
        tables={"runs": Table.from_rows(rows, RUN_COLUMNS), "orders": _tally(runs, case)},
        notes=(Note(f"the graph's own order is {ARROW.join(case.main.order) or 'not defined'}"),),
        views=(Bars(title="Orders after the disturbance", table="orders", x="order", y="share"),),
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


def _hold_out(
    fit: HierarchicalFit, index: int, draws: int, generator: np.random.Generator
) -> dict[str, Any]:
    name = fit.rows.names[index]
    row: dict[str, Any] = {
        "domain": name,
        "rows": fit.rows.counts[index],
        "inexactness": None,
        "null_median": None,
        "p": None,
        "order": None,
        "problem": None,
    }
    others = fit.rows.select([n for n in fit.rows.names if n != name])
    try:
        rest = fit_domains(others, fit.k, generator=generator, options=IcaOptions(restarts=8))
        # In its own subspace: the shared one was found with its help.
        component = fit_ica(fit.rows.blocks[index], fit.k, generator=generator)
    except FitError as error:
        return {**row, "problem": error.message}
    own = best_inexactness(rest, component.unmixing)
    rotations = np.linalg.qr(generator.standard_normal((draws, fit.k, fit.k)))[0]
    null = np.array([best_inexactness(rest, r @ component.whitening) for r in rotations])
    return {
        **row,
        "inexactness": own,
        "null_median": float(np.median(null)),
        "p": permutation_p(-own, -null),
        "order": ARROW.join(rest.order_names),
    }


def best_inexactness(rest: HierarchicalFit, unmixing: Floats) -> float:
    """Return the smallest inexactness of one domain under a map fitted to others."""
    h = rest.canonical.h
    orders = np.array(list(permutations(range(len(h)))))
    aligned = unmixing[orders]
    b = np.tril(aligned @ h.T)
    j = b @ h @ np.linalg.pinv(aligned)
    return float(row_inexactness(j, np.diagonal(j, axis1=1, axis2=2)).mean(axis=1).min())
