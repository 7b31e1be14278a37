"""Tables of a hierarchical fit, each column with its unit and meaning."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from causal.hca.fit import HierarchicalFit
from causal.hca.gate import Gate
from causal.identification.bootstrap import Bootstrap, spread
from causal.identification.bounds import bounds, interval
from causal.identification.choice import Candidates
from causal.identification.evaluation import Identification
from causal.scores.leaderboard import ScoreTable
from workbench.result.tables import Column, Table, columns_from

ARROW = " → "


def domain_table(table: ScoreTable, gate: Gate, found: Identification) -> Table:
    """One row per domain large enough: gate, fit, noises and label evidence."""
    fit = found.fit
    rows = []
    for index, name in enumerate(gate.names):
        chosen = name in fit.rows.names
        mask = (table.facts["domain"] == name).to_numpy()
        evidence = table.facts["evidence"][mask].value_counts(normalize=True)
        rows.append(
            {
                "domain": name,
                "rows": gate.counts[index],
                "passed_gate": name in gate.passed,
                "fitted": chosen,
                "distance_to_passed": _distance(gate, index),
                "explained": float(gate.explained[index]),
                "guessed_labels": float(evidence.get("architecture", 0.0)),
                **_fitted_domain(found, fit.rows.names.index(name) if chosen else None),
            }
        )
    return Table.from_rows(
        rows,
        columns_from("""
            rows (models): Models of the domain.
            distance_to_passed: Largest subspace distance to a domain that passed.
            explained (proportion): Variance in the top k principal directions.
            guessed_labels (proportion): Base model known from architecture alone.
            inexactness: Mixing inexactness under the best order, 0 to 1.
            contrast (nats): Second-smallest distance of a noise from Gaussian.
            gaussian_p: Chance of such a contrast in Gaussian data.
            kurtosis: Excess kurtosis of each noise, in the order found.
            modes: Contrast of every solution of component analysis, with hits.
        """),
    )


def _distance(gate: Gate, index: int) -> float:
    passed = [i for i, n in enumerate(gate.names) if n in gate.passed and i != index]
    return float(gate.distances[index, passed].max()) if passed else 0.0


def _fitted_domain(found: Identification, index: int | None) -> dict[str, Any]:
    names = ("inexactness", "contrast", "gaussian_p", "kurtosis", "modes", "unsettled_starts")
    if index is None:
        return dict.fromkeys(names)
    component, gaussian = found.fit.components[index], found.gaussian[index]
    modes = ", ".join(f"{m.contrast:.4f} × {m.hits}" for m in component.modes)
    values = (
        float(found.fit.triangular.inexactness[index]),
        gaussian.contrast,
        gaussian.p,
        ", ".join(f"{v:.2f}" for v in component.kurtosis),
        modes,
        component.unconverged,
    )
    return dict(zip(names, values, strict=True))


def distance_table(gate: Gate) -> Table:
    """Every pair of domains with the distance of their subspaces."""
    rows = [
        {"first": a, "second": b, "distance": float(gate.distances[i, j])}
        for i, a in enumerate(gate.names)
        for j, b in enumerate(gate.names)
    ]
    return Table.from_rows(rows, {"distance": Column("", "1 − mean cosine of principal angles.")})


def subset_table(candidates: Candidates, found: Identification) -> Table:
    """Every choice of domains with its score."""
    rows = [
        {
            "domains": ", ".join(s.names),
            "size": len(s.names),
            "max_inexactness": s.score,
            "gap": s.gap if np.isfinite(s.gap) else None,
            "inexactness": ", ".join(f"{v:.4f}" for v in s.inexactness),
            "chosen": s.names == found.fit.rows.names,
        }
        for s in sorted(candidates.subsets, key=lambda s: s.score)
    ]
    return Table.from_rows(
        rows,
        columns_from("""
            max_inexactness: Lowest score of any order, 0 to 1.
            gap: Second-best order minus best.
            inexactness: By domain, in the order listed.
        """),
    )


def order_table(found: Identification) -> Table:
    """Every order with its score, nulls and frequency under resampling."""
    fit, boot = found.fit, found.bootstrap
    fixed = boot.fixed_scores
    null = np.quantile(found.rotation.single, [0.05, 0.5, 0.95])
    placebo = np.median(found.placebo, axis=0) if len(found.placebo) else None
    low, high = bounds(boot.scores, fit.search.scores, floor=0.0)
    rows = []
    for i in np.argsort(fit.search.scores, kind="stable"):
        rows.append(
            {
                "order": ARROW.join(fit.names[c] for c in fit.search.orders[i]),
                "score": float(fit.search.scores[i]),
                "low": float(low[i]),
                "high": float(high[i]),
                "loss": float(fit.search.scores[i] - fit.search.scores.min()),
                "frequency": float(boot.frequencies[i]),
                "fixed_frequency": float(boot.fixed_frequencies[i]),
                "fixed_score": float(np.median(fixed[:, i])),
                "p_fit": float(found.orders.p_fit[i]),
                "p_order": float(found.orders.p_order[i]),
                "possible": bool(found.orders.possible[i]),
                "null_low": float(null[0]),
                "null_median": float(null[1]),
                "null_high": float(null[2]),
                "placebo_median": None if placebo is None else float(placebo[i]),
                "fitted": bool(i == fit.chosen),
            }
        )
    return Table.from_rows(rows, _ORDER_COLUMNS)


_ORDER_COLUMNS = columns_from("""
    order: Capabilities, source first, named by the benchmark each moves most.
    loss: Score minus that of the best order.
    frequency (proportion): Resamples in which the order scores best, full search.
    fixed_frequency (proportion): The same with components matched beforehand.
    fixed_score: Median score over resamples with components matched beforehand.
    p_fit: How often data made under the order score as high.
    p_order: How often data made under the order lose by as much.
    possible: Not ruled out at the 5% level.
    null_low: 5% point of the best score under random rotations.
    null_median: Median of the best score under random rotations.
    null_high: 95% point of the best score under random rotations.
    placebo_median: Median score with rows dealt to domains at random.
""") | {"score": Column("", "Smallest max-inexactness under the order.", low="low", high="high")}


def edge_table(found: Identification) -> Table:
    """Every edge of every domain with its intervals; `all` is the mean over domains."""
    return Table.from_rows(list(edge_rows(found)), EDGE_COLUMNS)


EDGE_COLUMNS = columns_from("""
    weight (points per point; low, high): Direct effect, anchored gauge.
    low (points per point): Lower end of 95% under the alignment of the full data.
    high (points per point): Upper end of 95% under the alignment of the full data.
    full_low (points per point): Lower end of 95% under full search.
    full_high (points per point): Upper end of 95% under full search.
    stability (proportion): Resamples in which the cause comes before the effect.
    canonical: Direct effect with orthonormal weights, points per point.
    total (points per point): Direct effect and all paths.
""")


def edge_rows(found: Identification) -> Iterator[dict[str, Any]]:
    """Yield the rows of the edge table."""
    fit, boot = found.fit, found.bootstrap
    low, high = spread(boot, lambda g: _with_mean(g.effects))
    weights, totals = _with_mean(fit.gauge.effects), _with_mean(fit.gauge.totals)
    canonical = _with_mean(fit.canonical.effects)
    full = np.concatenate([boot.effects, boot.effects.mean(axis=1, keepdims=True)], axis=1)
    for e, domain in enumerate((*fit.rows.names, "all")):
        for i in range(fit.k):
            for j in range(i + 1, fit.k):
                a, b = fit.order[i], fit.order[j]
                ends = interval(full[:, e, a, b], float(weights[e, i, j]))
                yield {
                    "domain": domain,
                    "cause": fit.names[a],
                    "effect": fit.names[b],
                    "weight": float(weights[e, i, j]),
                    "low": float(low[e, i, j]),
                    "high": float(high[e, i, j]),
                    "full_low": ends[0],
                    "full_high": ends[1],
                    "stability": float(boot.precedence[a, b]),
                    "canonical": float(canonical[e, i, j]),
                    "total": float(totals[e, i, j]),
                }


def _with_mean(values: "np.ndarray[Any, np.dtype[np.float64]]") -> Any:
    return np.concatenate([values, values.mean(axis=0, keepdims=True)])


def latent_table(fit: HierarchicalFit) -> Table:
    """One row per capability: anchor, evidence for it, and weights."""
    rows = [
        {
            "number": f"z{i + 1}",
            "capability": name,
            "label": f"z{i + 1} · {name}",
            "latent": True,
            "anchor": fit.anchor_names[i],
            "r_squared": float(fit.anchoring.r_squared[i, fit.anchoring.anchors[i]]),
            "partial": float(fit.anchoring.partial[i, fit.anchoring.anchors[i]]),
            **{
                f"weight {b}": float(w)
                for b, w in zip(fit.rows.benchmarks, fit.gauge.h[i], strict=True)
            },
        }
        for i, name in enumerate(fit.order_names)
    ]
    weights = {f"weight {b}": Column("", f"Weight of {b}.") for b in fit.rows.benchmarks}
    return Table.from_rows(
        rows,
        {
            "label": Column("", "A capability is named after a score, and is not that score."),
            "r_squared": Column("", "Of the capability on its anchor and earlier capabilities."),
            "partial": Column("", "Share of what earlier ones leave that the anchor explains."),
            **weights,
        },
    )


def anchor_table(fit: HierarchicalFit) -> Table:
    """Every benchmark as a candidate anchor of every capability."""
    rows = [
        {
            "capability": name,
            "benchmark": benchmark,
            "r_squared": float(fit.anchoring.r_squared[i, j]),
            "partial": float(fit.anchoring.partial[i, j]),
            "chosen": bool(fit.anchoring.anchors[i] == j),
        }
        for i, name in enumerate(fit.order_names)
        for j, benchmark in enumerate(fit.rows.benchmarks)
    ]
    return Table.from_rows(rows, {"r_squared": Column(""), "partial": Column("")})


def response_table(found: Identification) -> Table:
    """Change of every score per SD of every noise: the same in every gauge."""
    fit = found.fit
    low, high = spread(found.bootstrap, lambda g: g.responses)
    rows = [
        {
            "domain": domain,
            "capability": name,
            "benchmark": benchmark,
            "change": float(fit.gauge.responses[e, j, i]),
            "low": float(low[e, j, i]),
            "high": float(high[e, j, i]),
        }
        for e, domain in enumerate(fit.rows.names)
        for i, name in enumerate(fit.order_names)
        for j, benchmark in enumerate(fit.rows.benchmarks)
    ]
    change = Column("points", "Change per SD of the capability's own noise.", "low", "high")
    return Table.from_rows(rows, {"change": change})


def precedence_table(fit: HierarchicalFit, bootstrap: Bootstrap) -> Table:
    """How often each capability comes before each other one."""
    rows = [
        {"first": a, "second": b, "frequency": float(bootstrap.precedence[i, j])}
        for i, a in enumerate(fit.names)
        for j, b in enumerate(fit.names)
        if i != j
    ]
    help_text = "Resamples in which the first comes before the second."
    return Table.from_rows(rows, {"frequency": Column("proportion", help_text)})


def check_table(found: Identification) -> Table:
    """The conditions of the verdict, each with what was measured."""
    return Table.from_rows([vars(check) for check in found.verdict.checks])
