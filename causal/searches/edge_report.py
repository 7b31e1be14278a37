"""Fits of search algorithms as one edge table, one table of fits and a graph."""

from collections.abc import Mapping, Sequence
from typing import Any

from causal.scores.leaderboard import ScoreTable
from causal.searches.abilities import ABILITIES
from causal.searches.conventions import Link
from causal.searches.stability import Fitted
from workbench.result.estimate import Estimate
from workbench.result.graph import CapabilityGraph, Effect, Node
from workbench.result.result import UNFITTED, Note, Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import GraphView, View

STABLE = 0.9
_NAMED = 3
EDGES = columns_from("""
    algorithm: Search algorithm.
    scope: pooled: all rows; centred: less the domain's mean; domain: one domain.
    domain: Base model, when fitted per domain.
    cause: Cause, or first end of an undirected edge.
    effect: Effect, or second end.
    mark: directed, possible (o→), bidirected, undirected or circle.
    weight (points per point): Linear effect, where the algorithm gives one.
    stability (share of resamples): How often the same edge comes back.
""")
FITS = {
    "resamples": Column("resamples", "Resamples that could be fitted."),
    "orders": Column("orders", "Orders of the columns tried."),
    "differ": Column("orders", "Orders of the columns that gave another graph."),
}


def group_of(fitted: Fitted) -> str:
    """Return the name of a fit among the groups of a graph's edges."""
    return " ".join(filter(None, (fitted.algorithm, fitted.scope, fitted.group)))


def failures(fitted: Sequence[Fitted]) -> str:
    """Return why fits gave no graph."""
    return "; ".join(dict.fromkeys(f"{group_of(f)}: {f.failure}" for f in fitted if f.failure))


def report(
    fitted: Sequence[Fitted], scores: ScoreTable, assumption: str, facts: Mapping[str, Any]
) -> Result:
    """Turn fits into tables and a graph that says how it was fitted."""
    tables = {
        "edges": Table.from_rows((row for f in fitted for row in _edge_rows(f)), EDGES),
        "fits": Table.from_rows(map(_fit_row, fitted), FITS),
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
    return Result(
        summary=summary_of(fitted),
        estimates=_estimates(fitted),
        tables=tables,
        notes=(*_notes(fitted, pairs), *scores.notes),
        views=_views(fitted),
        graph=_graph(fitted, tables["nodes"], assumption, facts),
    )


def _notes(fitted: Sequence[Fitted], pairs: Sequence[dict[str, Any]]) -> list[Note]:
    failed = [f for f in fitted if f.failure]
    notes = [Note(f"{group_of(f)}: {f.failure}", "warning", UNFITTED) for f in failed]
    told: dict[str, list[str]] = {}
    for f in fitted:
        for text in (*f.notes, *_order_words(f), *_lost_words(f)):
            told.setdefault(text, []).append(group_of(f))
    notes += [Note(f"{', '.join(groups)}: {text}", "warning") for text, groups in told.items()]
    rejected = sum(row["p"] < 0.05 for row in pairs)
    if rejected:
        notes.append(
            Note(
                f"{rejected} of {len(pairs)} residual pairs are not independent at 5 %: the "
                "assumption behind LiNGAM's directions does not hold there",
                "warning",
            )
        )
    return notes


def _order_words(fitted: Fitted) -> tuple[str, ...]:
    differ, tried = fitted.facts.get("differ", 0), fitted.facts.get("orders", 1)
    if not differ:
        return ()
    kept = "that of the best score" if "score" in fitted.facts else "that of the first"
    return (f"{differ} of {tried} orders of the columns give another graph; {kept} is shown",)


def _lost_words(fitted: Fitted) -> tuple[str, ...]:
    if not fitted.lost:
        return ()
    return (
        f"{fitted.lost} resamples could not be fitted; stability is over the "
        f"{fitted.resamples} that could",
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
        "orders": fitted.facts.get("orders", 0),
        "differ": fitted.facts.get("differ", 0),
        "test": fitted.facts.get("test", fitted.facts.get("score_name", "")),
        "order": " → ".join(fitted.facts.get("order", [])),
        "failure": fitted.failure,
    }


def summary_of(fitted: Sequence[Fitted]) -> str:
    """Say which directions hold, how many edges there are, and what was not fitted."""
    fine = [f for f in fitted if not f.failure]
    if not fine:
        return f"No graph was fitted: {failures(fitted)}."
    lost = f"; {len(fitted) - len(fine)} gave none" if len(fine) < len(fitted) else ""
    directed = [(f, link) for f in fine for link in f.links if link.mark == "directed"]
    other = sum(len(f.links) for f in fine) - len(directed)
    shares = [s for f, link in directed if (s := _stability(f, link[:3])) is not None]
    stable = (
        f", {sum(s >= STABLE for s in shares)} of them in at least 90 % of resamples"
        if shares
        else ""
    )
    return (
        f"{_held(directed)}{len(directed)} directed edges in {len(fine)} "
        f"{'fit' if len(fine) == 1 else 'fits'}{stable}; {other} without a direction{lost}."
    )


def _held(directed: Sequence[tuple[Fitted, Link]]) -> str:
    """Name the edges that most resamples direct alike, the most frequent first."""
    known = [(s, link) for f, link in directed if (s := _stability(f, link[:3])) is not None]
    if not known:
        return ""
    held = sorted((x for x in known if x[0] >= STABLE), key=lambda x: -x[0])
    named = dict.fromkeys(f"{link.cause} → {link.effect}" for _, link in held)
    if not named:
        return "No direction holds in 90 % of resamples: "
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"Resamples agree on {', '.join(list(named)[:_NAMED])}{more}: "


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
            method="stratified bootstrap of models within domains, columns in a random order",
        ),
    )


def _views(fitted: Sequence[Fitted]) -> tuple[View, ...]:
    if not any(f.links for f in fitted):
        return ()
    return (
        GraphView(
            "Edges", "nodes", "edges", weight="stability", stability="stability", group="algorithm"
        ),
    )


def _graph(
    fitted: Sequence[Fitted], nodes: Table, assumption: str, facts: Mapping[str, Any]
) -> CapabilityGraph:
    fine = [f for f in fitted if not f.failure]
    orders = {group_of(f): f.facts["order"] for f in fine if "order" in f.facts}
    return CapabilityGraph(
        nodes=tuple(Node(name=row["name"], latent=row["latent"]) for row in nodes.rows()),
        edges=tuple(_effect(f, link, assumption) for f in fitted for link in f.links),
        order=tuple(next(iter(orders.values()))) if len(orders) == len(fitted) == 1 else (),
        method=", ".join(dict.fromkeys(f.algorithm for f in fitted)),
        verdict="orientation rests on the algorithm's assumption; compare scopes and algorithms",
        facts={
            **facts,
            "claims": {group_of(f): ABILITIES[f.algorithm].claims() for f in fine},
            "orders": orders,
        },
    )


def _effect(fitted: Fitted, link: Any, assumption: str) -> Effect:
    return Effect(
        cause=link.cause,
        effect=link.effect,
        weight=_weight(fitted, link),
        mark=link.mark,
        assumption=assumption,
        stability=_stability(fitted, link[:3]),
        group=group_of(fitted),
    )


def _weight(fitted: Fitted, link: Any) -> Estimate | None:
    if link.weight is None:
        return None
    return Estimate(
        name=f"{link.cause} → {link.effect}",
        value=link.weight,
        unit="points per point",
        n=fitted.n,
        n_unit="models",
        method="least squares with selected causes, without an interval",
    )
