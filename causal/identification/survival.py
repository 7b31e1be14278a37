"""What of a graph comes back in refits, for as much of it as its method claims."""

from collections.abc import Sequence

import numpy as np

from causal.identification.refit import Case, Refit
from workbench.result.estimate import Estimate
from workbench.result.intervals import proportion_estimate
from workbench.result.tables import Column, Table, columns_from

ARROW = " → "
ORIENTED = ("directed", "possible", "bidirected")
RUN_COLUMNS = columns_from("""
    score: Max-inexactness of the refit, 0 to 1.
    same_order: Whether causes of the graph come before effects in the order.
    same_graph: Whether every edge and mark is that of the graph.
    adjacencies (proportion): Joined pairs of the graph that the refit joins too.
    orientations (proportion): Arrows of the graph that the refit has too.
    new_adjacencies (edges): Pairs that the refit joins and the graph does not.
    effect_change (points per point): Largest change of a shared effect.
""")
EDGE_COLUMNS = {
    "stability": Column("share of resamples", "How often it came back in the fit's resamples."),
    "joined": Column("proportion", "Refits that join the pair."),
    "same_mark": Column("proportion", "Refits with the same mark at both ends."),
}


def keeps_order(run: Refit, case: Case) -> bool | None:
    """Tell whether a refit's orders put causes before effects, None where there is no order.

    A method without an order, a graph without edges and a single variable have none to keep.
    """
    pairs = [pair for pair in case.main.edges if _orders(case, pair[0])]
    if not pairs:
        return None
    for group, cause, effect in pairs:
        order = run.orders.get(group, ())
        if cause not in order or effect not in order or order.index(cause) > order.index(effect):
            return False
    return True


def _orders(case: Case, group: str) -> bool:
    return bool(case.claims.get(group, {}).get("order")) and group in case.main.orders


def share_joined(run: Refit, case: Case) -> float | None:
    """Return the share of the graph's joined pairs that a refit joins, None where undefined.

    A method that joins all pairs always cannot lose one.
    """
    pairs = [key for key in case.main.marks if not _is_full(case, key[0])]
    return sum(key in run.marks for key in pairs) / len(pairs) if pairs else None


def share_oriented(run: Refit, case: Case) -> float | None:
    """Return the share of the graph's arrows that a refit has, None where there are none."""
    marks = {
        key: mark
        for key, mark in case.main.marks.items()
        if mark[2] in ORIENTED and not _is_full(case, key[0])
    }
    return sum(run.marks.get(k) == m for k, m in marks.items()) / len(marks) if marks else None


def _is_full(case: Case, group: str) -> bool:
    return case.claims.get(group, {}).get("graph") == "order"


def run_table(runs: Sequence[Refit], case: Case) -> Table:
    """Return one row per refit."""
    return Table.from_rows([_run_row(run, case) for run in runs], RUN_COLUMNS)


def _run_row(run: Refit, case: Case) -> dict[str, object]:
    changes = [
        abs(run.edges[pair] - weight)  # type: ignore[operator]
        for pair, weight in case.main.edges.items()
        if weight is not None and run.edges.get(pair) is not None
    ]
    return {
        "order": ARROW.join(run.order),
        "score": run.score,
        "same_order": keeps_order(run, case),
        "same_graph": run.marks == case.main.marks,
        "adjacencies": share_joined(run, case),
        "orientations": share_oriented(run, case),
        "new_adjacencies": len(run.marks.keys() - case.main.marks.keys()),
        "effect_change": max(changes) if changes else None,
    }


def edge_table(runs: Sequence[Refit], case: Case) -> Table:
    """Return one row per edge of the graph with how often refits bring it back."""
    known = {(e.group, frozenset((e.cause, e.effect))): e.stability for e in case.graph.edges}
    rows = [
        {
            "group": key[0],
            "cause": mark[0],
            "effect": mark[1],
            "mark": mark[2],
            "stability": known.get(key),
            "joined": sum(key in run.marks for run in runs) / len(runs),
            "same_mark": sum(run.marks.get(key) == mark for run in runs) / len(runs),
        }
        for key, mark in case.main.marks.items()
    ]
    return Table.from_rows(rows, EDGE_COLUMNS)


def survival(runs: Sequence[Refit], case: Case, unit: str) -> tuple[Estimate, ...]:
    """Return what comes back; what the method does not claim is undefined, with the reason."""
    kept = [keeps_order(run, case) for run in runs]
    defined = [bool(k) for k in kept if k is not None]
    order = (
        proportion_estimate("same_order", sum(defined), len(defined), n_unit=unit)
        if defined
        else _undefined("same_order", len(runs), unit, _no_order(case))
    )
    same = sum(run.marks == case.main.marks for run in runs)
    return (
        order,
        proportion_estimate("same_graph", same, len(runs), n_unit=unit),
        _mean("adjacencies_kept", [share_joined(r, case) for r in runs], unit, _no_edge(case)),
        _mean("orientations_kept", [share_oriented(r, case) for r in runs], unit, _no_arrow(case)),
    )


def _mean(name: str, shares: Sequence[float | None], unit: str, reason: str) -> Estimate:
    known = [s for s in shares if s is not None]
    if not known:
        return _undefined(name, len(shares), unit, reason)
    return Estimate(
        name=name,
        value=float(np.mean(known)),
        unit="proportion",
        n=len(known),
        n_unit=unit,
        method="mean over refits; the table `runs` holds each",
    )


def _undefined(name: str, n: int, unit: str, reason: str) -> Estimate:
    return Estimate(name=name, value=None, unit="proportion", n=n, n_unit=unit, note=reason)


def _no_order(case: Case) -> str:
    if not case.claims:
        return f"nothing says that {case.graph.method} gives an order"
    if not any(claim.get("order") for claim in case.claims.values()):
        kinds = sorted({str(claim.get("graph")) for claim in case.claims.values()} - {"order"})
        if kinds:
            return f"{case.graph.method} yields a {' or '.join(kinds)}, which has no order"
        return "one variable has no order"
    return "the graph has no edge that an order could break"


def _no_edge(case: Case) -> str:
    if all(_is_full(case, group) for group in case.claims) and case.claims:
        return f"{case.graph.method} joins all pairs whatever the data"
    return "the graph has no edge"


def _no_arrow(case: Case) -> str:
    if all(_is_full(case, group) for group in case.claims) and case.claims:
        return "directions follow from the order, which same_order counts"
    return "no edge of the graph has a direction"


def words(estimates: Sequence[Estimate], case: Case) -> str:
    """Return what comes back in one clause."""
    known = {e.name: e for e in estimates}
    order, joined = known["same_order"], known["adjacencies_kept"]
    if case.fit is not None and order.value is not None:
        return f"{round(order.value * order.n)} of {order.n} give the order of the graph"
    if joined.value is None:
        return f"nothing to compare: {joined.note}"
    parts = [f"{joined.value:.0%} of the graph's {_count(case.main)} come back on average"]
    arrows = known["orientations_kept"]
    parts.append(
        f"no arrow to compare ({arrows.note})"
        if arrows.value is None
        else f"{arrows.value:.0%} of its arrows do"
    )
    if order.value is not None:
        parts.append(f"{round(order.value * order.n)} of {order.n} keep its order")
    return ", ".join(parts)


def _count(main: Refit) -> str:
    return f"{len(main.marks)} {'edge' if len(main.marks) == 1 else 'edges'}"
