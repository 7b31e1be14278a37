"""A finished analysis as a Result: summary, estimates, tables, arrays, graph and views."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from causal.hca.gate import Gate
from causal.identification.bounds import LEAST_FOR_PERCENTILES, how, interval
from causal.identification.choice import Candidates
from causal.identification.evaluation import Identification
from causal.report.tables import (
    ARROW,
    anchor_table,
    check_table,
    distance_table,
    domain_table,
    edge_rows,
    edge_table,
    latent_table,
    order_table,
    precedence_table,
    response_table,
    subset_table,
)
from causal.report.views import report_views
from causal.scores.leaderboard import ScoreTable
from workbench.result.estimate import Estimate
from workbench.result.graph import CapabilityGraph, Effect, Node
from workbench.result.intervals import proportion_estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Table

ASSUMPTION = (
    "domains share the map from capabilities to scores and differ in effects; noises are "
    "independent and non-Gaussian; the order has the lowest max-inexactness"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Analysis:
    """Everything one run of the hierarchical discovery produced."""

    table: ScoreTable
    gate: Gate
    candidates: Candidates
    found: Identification
    extra: Mapping[str, Table]
    notes: tuple[Note, ...]
    settings: Mapping[str, Any]


def report(analysis: Analysis) -> Result:
    """Turn an analysis into a Result."""
    found = analysis.found
    tables = {
        "domains": domain_table(analysis.table, analysis.gate, found),
        "distances": distance_table(analysis.gate),
        "subsets": subset_table(analysis.candidates, found),
        "orders": order_table(found),
        "edges": edge_table(found),
        "latents": latent_table(found.fit),
        "anchors": anchor_table(found.fit),
        "responses": response_table(found),
        "precedence": precedence_table(found.fit, found.bootstrap),
        "checks": check_table(found),
        "models": _models(analysis),
        "cleaning": analysis.table.report.table(),
        **analysis.extra,
    }
    return Result(
        summary=_summary(analysis),
        estimates=_estimates(analysis),
        tables=tables,
        arrays=_arrays(found),
        notes=_notes(analysis),
        views=report_views(tables),
        graph=build_graph(analysis),
    )


def _models(analysis: Analysis) -> Table:
    """List the fitted models in the order of the rows kept with the result."""
    frame = analysis.table.facts
    names = {d: frame.loc[frame["domain"] == d, "model"] for d in analysis.found.fit.rows.names}
    rows = [{"domain": d, "model": m} for d, models in names.items() for m in models]
    return Table.from_rows(rows)


def _summary(analysis: Analysis) -> str:
    found = analysis.found
    rows = sum(found.fit.rows.counts)
    return (
        f"{found.verdict.words}. {rows} models in {len(found.fit.rows)} domains, max-inexactness "
        f"{found.fit.search.scores.min():.4f}; snapshot {analysis.table.snapshot.id}"
    )


def _estimates(analysis: Analysis) -> tuple[Estimate, ...]:
    found = analysis.found
    fit, boot = found.fit, found.bootstrap
    n = sum(fit.rows.counts)
    best = fit.search.best
    score = float(fit.search.scores.min())
    low, high = interval(boot.scores.min(axis=1), score, floor=0.0)
    winner = round(float(boot.frequencies[best]) * len(boot))
    estimates = [
        Estimate(
            name="max_inexactness",
            value=score,
            unit="",
            n=n,
            n_unit="models",
            low=low,
            high=high,
            method=f"{how(len(boot))}, within domains; resampling raises the score itself",
            control=float(np.median(found.rotation.chosen)),
            control_name="random rotations, same choice of domains",
        ),
        Estimate(
            name="rotation_p",
            value=found.rotation.p_chosen,
            unit="",
            n=len(found.rotation.chosen),
            n_unit="draws",
            method="share of random rotations that score as low after the same choice of domains",
            note=f"without the choice {found.rotation.p_single:.4f}",
        ),
        proportion_estimate("best_order_frequency", winner, len(boot), n_unit="resamples"),
    ]
    if len(fit.search.orders) > 1:
        estimates.append(_gap(analysis, n))
    return tuple(estimates)


def _gap(analysis: Analysis, n: int) -> Estimate:
    fit, boot = analysis.found.fit, analysis.found.bootstrap
    first, second = np.argsort(fit.search.scores, kind="stable")[:2]
    names = [ARROW.join(fit.names[c] for c in fit.search.orders[i]) for i in (first, second)]
    low, high = interval(boot.scores[:, second] - boot.scores[:, first], fit.search.gap)
    return Estimate(
        name="order_gap",
        value=fit.search.gap,
        unit="",
        n=n,
        n_unit="models",
        low=low,
        high=high,
        method=f"{how(len(boot))}, within domains",
        control=float(np.median(analysis.found.rotation.gaps)),
        control_name="random rotations",
        note=f"score of {names[1]} minus that of {names[0]}",
    )


def _arrays(found: Identification) -> dict[str, NDArray[Any]]:
    """Return what is needed to ask the graph again without fitting."""
    fit, boot = found.fit, found.bootstrap
    return {
        "h": fit.gauge.h,
        "b": fit.gauge.b,
        "offset": fit.gauge.offset,
        "canonical_h": fit.canonical.h,
        "canonical_b": fit.canonical.b,
        "unmixing": fit.unmixing,
        "alignment": fit.alignment,
        "draws_h": boot.h,
        "draws_b": boot.b,
        "draws_offset": boot.offset,
        "rows": fit.rows.pooled,
        "counts": np.array(fit.rows.counts),
        "order_scores": boot.scores,
        "rotation_scores": found.rotation.chosen,
    }


def _notes(analysis: Analysis) -> tuple[Note, ...]:
    found = analysis.found
    fit = found.fit
    notes = [
        Note(found.verdict.words, "info" if found.verdict.identified else "warning", "verdict"),
        Note(f"snapshot: {analysis.table.snapshot.id}", code="snapshot"),
        Note(
            "absolute effects depend on the anchors; responses to shocks, differences between "
            "domains and the spans of the first capabilities do not",
            code="gauge",
        ),
        Note(
            "the last capabilities reach R² near 1 with a benchmark under any order; that is no "
            "evidence for the order",
            code="late-r-squared",
        ),
        Note(
            f"resamples start component analysis at the components of the full data and at random "
            f"rotations; {found.bootstrap.failed} of "
            f"{len(found.bootstrap) + found.bootstrap.failed} could not be fitted",
            code="warm-start",
        ),
        *_interval_notes(found),
        *analysis.notes,
    ]
    ambiguous = [n for n, c in zip(fit.rows.names, fit.components, strict=True) if c.is_ambiguous]
    if ambiguous:
        notes.append(
            Note(
                f"component analysis has a second solution of nearly the same contrast in "
                f"{', '.join(ambiguous)}",
                "warning",
                "ica-modes",
            )
        )
    small = [f"{n} ({c})" for n, c in zip(fit.rows.names, fit.rows.counts, strict=True) if c < 100]
    if small:
        text = f"domains under 100 models are fitted poorly: {', '.join(small)}"
        notes.append(Note(text, "warning", "small-domains"))
    return tuple(notes)


def _interval_notes(found: Identification) -> list[Note]:
    draws, rows = len(found.bootstrap), list(edge_rows(found))
    without = sum(not np.isfinite(row["low"]) for row in rows)
    notes = []
    if draws < LEAST_FOR_PERCENTILES:
        text = (
            f"intervals rest on {draws} resamples ({how(draws)}); percentiles need "
            f"{LEAST_FOR_PERCENTILES}: raise --resamples"
        )
        notes.append(Note(text, "warning", "few-resamples"))
    elif without:
        text = (
            f"{without} of {len(rows)} effects have no interval: resampling shifts them so far "
            "that their percentiles leave them out"
        )
        notes.append(Note(text, "warning", "no-interval"))
    return notes


_NODE_FIELDS = ("capability", "anchor", "label", "latent")


def build_graph(analysis: Analysis) -> CapabilityGraph:
    """Return the graph: capabilities, their effects by domain, and the scores they show in."""
    found, fit = analysis.found, analysis.found.fit
    latents = latent_table(fit).rows()
    nodes = tuple(
        Node(
            name=row["capability"],
            latent=True,
            anchor=row["anchor"],
            r_squared=row["r_squared"],
            facts={k: v for k, v in row.items() if k not in _NODE_FIELDS},
        )
        for row in latents
    )
    return CapabilityGraph(
        nodes=nodes,
        edges=_edges(analysis),
        order=fit.order_names,
        identified=found.verdict.identified,
        verdict=found.verdict.words,
        method="hierarchical",
        facts={**analysis.settings, "cleaning": analysis.table.cleaning_facts()},
    )


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _edges(analysis: Analysis) -> tuple[Effect, ...]:
    found, fit = analysis.found, analysis.found.fit
    counts = dict(zip(fit.rows.names, fit.rows.counts, strict=True))
    total = sum(counts.values())
    return tuple(
        Effect(
            cause=row["cause"],
            effect=row["effect"],
            weight=Estimate(
                name=f"{row['cause']} → {row['effect']}",
                value=row["weight"],
                unit="points per point",
                n=counts.get(row["domain"], total),
                n_unit="models",
                low=_or_none(row["low"]),
                high=_or_none(row["high"]),
                method=f"{how(len(found.bootstrap))}, fixed alignment",
                note="" if found.verdict.identified else "order not identified",
            ),
            assumption=ASSUMPTION,
            stability=row["stability"],
            # The mean over domains is the edge without a group.
            group="" if row["domain"] == "all" else row["domain"],
        )
        for row in edge_rows(found)
    )
