"""What every wrapped algorithm shares: its options, its table, its report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from causal.scores.leaderboard import ScoreTable
from causal.scores.table_options import TableOptions
from causal.searches.stability import Fitted, Scope, Search, fit, split
from workbench.methods.contracts import Context
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.graph import CapabilityGraph, Effect, Node
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import GraphView, View

EDGES = {
    "algorithm": Column(help="Search algorithm."),
    "scope": Column(help="pooled: all rows; centred: less the domain's mean; domain: one domain."),
    "domain": Column(help="Base model, when fitted per domain."),
    "cause": Column(help="Cause, or first end of an undirected edge."),
    "effect": Column(help="Effect, or second end."),
    "mark": Column(help="directed, possible (o→), bidirected, undirected or circle."),
    "weight": Column("points per point", "Linear effect, where the algorithm gives one."),
    "stability": Column("share of resamples", "How often the same edge comes back."),
}


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
    seconds: float = option(60.0, help="Time limit of one fit.", low=1, unit="s")

    def fit(self, table: Table, context: Context) -> Result:
        """Fit every algorithm to every matrix of the scope.

        Raises:
            TooLittleData: no domain has enough models.
        """
        scores = self.enough(self.scores_of(table))
        scopes: tuple[Scope, ...] = ("pooled", "centred", "domain")
        if not scores.has_domains:
            scopes = ("pooled",)
        chosen = scopes if self.scope == "all" else (self.scope,)
        jobs = [
            (name, rows)
            for name in self.algorithms
            for scope in chosen
            for rows in split(scores.scores, list(scores.facts["domain"]), scope)
        ]
        total, done = len(jobs) * (self.resamples + 1), [0]

        def tick() -> None:
            done[0] += 1
            context.progress(min(done[0], total), total, "fits")

        fitted = []
        for i, (name, rows) in enumerate(jobs):
            search = Search(
                algorithm=name,
                names=scores.benchmarks,
                alpha=self.alpha,
                resamples=self.resamples,
                seconds=self.seconds,
                seed=context.seed,
            )
            stream = context.stream(f"{name} {rows.scope} {rows.group}")
            fitted.append(fit(search, rows, generator=stream, tick=tick))
            done[0] = (i + 1) * (self.resamples + 1)
            context.progress(done[0], total, "fits")
        return report(fitted, scores, self.assumption)


def report(fitted: Sequence[Fitted], scores: ScoreTable, assumption: str) -> Result:
    """Turn fits into one edge table, one table of fits and a graph."""
    tables = {
        "edges": Table.from_rows((row for f in fitted for row in _edge_rows(f)), EDGES),
        "fits": Table.from_rows(map(_fit_row, fitted)),
    }
    names = dict.fromkeys(scores.benchmarks)
    names.update(dict.fromkeys(n for f in fitted for link in f.links for n in link[:2]))
    tables["nodes"] = Table.from_rows(
        {"name": name, "latent": name not in scores.benchmarks} for name in names
    )
    pairs = [
        {"algorithm": f.algorithm, "scope": f.scope, "domain": f.group, "a": a, "b": b, "p": p}
        for f in fitted
        for a, b, p in f.facts.get("independence", [])
    ]
    if pairs:
        columns = {"p": Column("probability", "HSIC test that the two residuals are independent.")}
        tables["independence"] = Table.from_rows(pairs, columns)
    failed = [f for f in fitted if f.failure]
    notes = [
        Note(f"{f.algorithm} {f.scope} {f.group}: {f.failure}".replace(" :", ":"), "warning")
        for f in failed
    ]
    rejected = sum(row["p"] < 0.05 for row in pairs)
    if rejected:
        notes.append(
            Note(
                f"{rejected} of {len(pairs)} residual pairs are not independent at 5 %: the "
                "assumption behind LiNGAM's directions does not hold there",
                "warning",
            )
        )
    return Result(
        summary=_summary(fitted, failed),
        estimates=_estimates(fitted),
        tables=tables,
        notes=(*notes, *scores.notes),
        views=_views(fitted),
        graph=_graph(fitted, tables["nodes"], assumption),
    )


def _edge_rows(fitted: Fitted) -> list[dict[str, Any]]:
    return [
        {
            "algorithm": fitted.algorithm,
            "scope": fitted.scope,
            "domain": fitted.group,
            "cause": link.cause,
            "effect": link.effect,
            "mark": link.mark,
            "weight": link.weight,
            "stability": _stability(fitted, link[:3]),
        }
        for link in fitted.links
    ]


def _stability(fitted: Fitted, key: tuple[str, str, str]) -> float | None:
    return fitted.stability.get(key, 0.0) if fitted.resamples else None


def _fit_row(fitted: Fitted) -> dict[str, Any]:
    return {
        "algorithm": fitted.algorithm,
        "scope": fitted.scope,
        "domain": fitted.group,
        "models": fitted.n,
        "edges": len(fitted.links),
        "directed": sum(link.mark == "directed" for link in fitted.links),
        "resamples": fitted.resamples,
        "order": " → ".join(fitted.facts.get("order", [])),
        "failure": fitted.failure,
    }


def _summary(fitted: Sequence[Fitted], failed: Sequence[Fitted]) -> str:
    fine = [f for f in fitted if not f.failure]
    if not fine:
        return f"None of {len(fitted)} fits gave a graph; the notes say why."
    stable = sum(s >= 0.9 for f in fine for k, s in f.stability.items() if k[2] == "directed")
    directed = sum(link.mark == "directed" for f in fine for link in f.links)
    lost = f"; {len(failed)} gave none" if failed else ""
    return (
        f"{directed} directed edges in {len(fine)} fits, {stable} of them in at least 90 % of "
        f"resamples{lost}."
    )


def _estimates(fitted: Sequence[Fitted]) -> tuple[Estimate, ...]:
    shares = [
        _stability(f, link[:3]) for f in fitted for link in f.links if link.mark == "directed"
    ]
    known = [s for s in shares if s is not None]
    if not known:
        return ()
    return (
        Estimate(
            name="mean stability of directed edges",
            value=sum(known) / len(known),
            unit="share of resamples",
            n=len(known),
            n_unit="edges",
            method="stratified bootstrap of models within domains",
        ),
    )


def _views(fitted: Sequence[Fitted]) -> tuple[View, ...]:
    if not any(f.links for f in fitted):
        return ()
    return (
        GraphView(
            title="Edges",
            nodes="nodes",
            edges="edges",
            weight="stability",
            stability="stability",
            group="algorithm",
        ),
    )


def _graph(fitted: Sequence[Fitted], nodes: Table, assumption: str) -> CapabilityGraph:
    edges = tuple(
        Effect(
            cause=link.cause,
            effect=link.effect,
            mark=link.mark,
            assumption=assumption,
            stability=_stability(f, link[:3]),
            group=" ".join(filter(None, (f.algorithm, f.scope, f.group))),
        )
        for f in fitted
        for link in f.links
    )
    return CapabilityGraph(
        nodes=tuple(Node(name=row["name"], latent=row["latent"]) for row in nodes.rows()),
        edges=edges,
        method=", ".join(dict.fromkeys(f.algorithm for f in fitted)),
        verdict="orientation rests on the algorithm's assumption; compare scopes and algorithms",
    )
