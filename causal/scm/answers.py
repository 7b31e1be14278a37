"""Answers as Results: what a graph says about one model, an action or a set of trials."""

from collections.abc import Mapping, Sequence
from typing import Any

from causal.scm.actions import Action, Change, Counterfactual, Do, Measure, PathEffects, Span
from causal.scm.intervention import CapabilityModel, misread
from causal.scm.place import Placement
from causal.scm.trials import TrialCheck
from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table, columns_from
from workbench.result.views import Bars, Points

INTERVAL = "95% bootstrap within domains, fixed alignment"


def answer_placement(placed: Placement) -> Result:
    """Lay out where a model stands."""
    estimates = tuple(
        Estimate(
            name=f"capability {s.capability}",
            value=s.value.value,
            unit=f"points of {s.anchor}",
            n=placed.rows,
            n_unit="models",
            low=s.value.low,
            high=s.value.high,
            level=0.9,
            method="leave-one-out errors of predicted scores" if s.value.low is not None else "",
            note=f"percentile {s.percentile:.0f} of {placed.domain}, own noise {s.noise:+.2f} SD",
        )
        for s in placed.standings
    )
    standing = ", ".join(f"{s.capability} {s.percentile:.0f}%" for s in placed.standings)
    return Result(
        summary=f"{_strength(placed)} among {placed.rows} models of {placed.domain}: {standing} "
        "(percentiles); what the capabilities do not explain is larger than in "
        f"{placed.residual_percentile:.0f}% of them",
        estimates=estimates,
        tables=_placement_tables(placed),
        notes=_warnings(placed.warnings),
        views=(
            Bars("Percentiles", "capabilities", x="capability", y="percentile"),
            Bars("Scores", "scores", x="benchmark", y="value"),
        ),
    )


def _strength(placed: Placement) -> str:
    """Say which capability stands out."""
    ranked = sorted(placed.standings, key=lambda s: s.percentile)
    strongest, weakest = ranked[-1].capability, ranked[0].capability
    return f"Strongest in {strongest}, weakest in {weakest}" if len(ranked) > 1 else "It stands"


def _placement_tables(placed: Placement) -> dict[str, Table]:
    return {
        "capabilities": Table.from_rows(
            [{**_flat(s, "value"), "anchor": s.anchor} for s in placed.standings],
            {
                "value": Column("points", "In points of the anchor.", low="low", high="high"),
                "percentile": Column("%", f"Among models of {placed.domain}."),
                "noise": Column("SD", "Own part of the capability, about the domain's mean."),
            },
        ),
        "scores": Table.from_rows(
            [_flat(s, "value") for s in placed.scores],
            columns_from("""
                value (points; low, high): Given, or predicted.
                reconstructed (points): What the capabilities alone give.
                residual (points): Given minus reconstructed.
                surprise (SD): Residual in SDs of the domain's residuals.
            """),
        ),
        "neighbours": Table.from_rows(
            [{"model": n.model, "distance": n.distance, **n.scores} for n in placed.neighbours],
            {
                "distance": Column("SD", "In SDs of the domain's capabilities."),
                **{score.benchmark: Column("points", "Its score.") for score in placed.scores},
            },
        ),
    }


def answer_what_if(
    model: CapabilityModel, found: Counterfactual, actions: Sequence[Action]
) -> Result:
    """Lay out what an action would change, and what it would be mistaken for."""
    told = "; ".join(map(describe, actions)) or "nothing done"
    changes = tuple(
        _change_estimate(model, found, c).against(0.0, "no change") for c in found.scores
    )
    notes = list(_warnings(found.warnings))
    measured = {a.benchmark: a.change for a in actions if isinstance(a, Measure)}
    if measured:
        wrong = ", ".join(f"{n} {v:+.1f}" for n, v in misread(model, measured).items())
        notes.append(
            Note(
                f"a change of measurement alone moves no capability; read as one it would be "
                f"taken for {wrong} points",
                "warning",
                "misread",
            )
        )
    return Result(
        summary=f"{_moved(changes)}, in {found.domain} with {told}",
        estimates=changes,
        tables={
            "capabilities": _change_table(found.capabilities),
            "scores": _change_table(found.scores),
            "noise": Table.from_rows(
                [{"capability": n, "noise": v} for n, v in found.noise.items()],
                {"noise": Column("SD", "What abduction found, about the domain's mean.")},
            ),
        },
        notes=tuple(notes),
        views=(Bars("Change of every score", "scores", x="name", y="change"),),
    )


def _moved(changes: Sequence[Estimate]) -> str:
    """Say how many scores move, and which most."""
    moved = [c for c in changes if c.beside_control in ("more than", "less than")]
    if not moved:
        return "No score is shown to change"
    most = max(moved, key=lambda c: abs(c.value or 0.0))
    return f"{len(moved)} of {len(changes)} scores change, most the {most}"


def answer_paths(found: PathEffects, *, domain: str, n: int) -> Result:
    """Lay out direct, indirect and total effects."""
    named = {"direct": found.direct, "indirect": found.indirect, "total": found.total}
    effects = tuple(
        Estimate(
            name=f"{kind} effect",
            value=span.value,
            unit="points per point",
            n=n,
            n_unit="models",
            low=span.low,
            high=span.high,
            method=INTERVAL,
        ).against(0.0, "no effect")
        for kind, span in named.items()
    )
    direct, _, total = effects
    pair = f"{found.cause} {{}} {found.effect} in {domain}"
    acts = total.told(pair, "raises", "lowers", "is not shown to act on")
    return Result(
        summary=f"{acts}, {direct.value:+.2f} of it directly",
        estimates=effects,
        tables={
            "paths": Table.from_rows(
                [{"path": " → ".join(p.through), **_span("effect", p.effect)} for p in found.paths],
                {"effect": Column("points per point", "Product along the path.", "low", "high")},
            )
        },
        views=(Bars("Effects by path", "paths", x="path", y="effect"),),
    )


def answer_trials(check: TrialCheck) -> Result:
    """Lay out fine-tuning trials beside predictions."""
    frame = check.table.frame
    other = frame[(frame["role"] == "other") & frame["predicted"].notna()]
    miss = (other["predicted"] - other["observed"]).abs()
    still = other["observed"].abs()
    return Result(
        summary=f"over {len(other)} scores that were not trained on, the graph misses the observed "
        f"change by {miss.mean():.1f} points on average; predicting no change misses by "
        f"{still.mean():.1f}",
        estimates=(
            Estimate(
                name="mean_miss",
                value=float(miss.mean()),
                unit="points",
                n=len(other),
                n_unit="scores",
                method="mean absolute difference of predicted and observed change",
                control=float(still.mean()),
                control_name="predicting no change",
            ),
        ),
        tables={"trials": check.table},
        notes=check.notes,
        views=(
            Points(
                "Predicted and observed changes",
                "trials",
                x="observed",
                y="predicted",
                color="role",
                label="trained_on",
                diagonal=True,
            ),
        ),
    )


def describe(action: Action) -> str:
    """Say an action in words."""
    if isinstance(action, Measure):
        return f"measurement of {action.benchmark} {action.change:+g} points"
    if isinstance(action, Do):
        return f"{action.capability} set to {action.value:g} points"
    unit = "SD" if action.unit == "sd" else "points"
    return f"{action.capability} shocked by {action.size:+g} {unit}"


def _flat(item: Any, name: str) -> dict[str, Any]:
    values: Mapping[str, Any] = vars(item)
    rest = {k: v for k, v in values.items() if k != name}
    return {**rest, **_span(name, values[name])}


def _span(name: str, span: Span) -> dict[str, float | None]:
    return {name: span.value, "low": span.low, "high": span.high}


def _change_table(changes: Sequence[Change]) -> Table:
    rows = [
        {
            "name": c.name,
            "before": c.before,
            "after": c.after.value,
            "change": c.after.value - c.before,
            "low": None if c.after.low is None else c.after.low - c.before,
            "high": None if c.after.high is None else c.after.high - c.before,
        }
        for c in changes
    ]
    return Table.from_rows(
        rows,
        {
            "before": Column("points", "As it is."),
            "after": Column("points", "After the action."),
            "change": Column("points", "After minus before.", low="low", high="high"),
        },
    )


def _change_estimate(model: CapabilityModel, found: Counterfactual, change: Change) -> Estimate:
    low, high = change.after.low, change.after.high
    return Estimate(
        name=f"change of {change.name}",
        value=change.after.value - change.before,
        unit="points",
        n=model.rows.counts[model.domain(found.domain)],
        n_unit="models",
        low=None if low is None else low - change.before,
        high=None if high is None else high - change.before,
        method=INTERVAL if low is not None else "no resamples",
    )


def _warnings(texts: Sequence[str]) -> tuple[Note, ...]:
    return tuple(Note(text, "warning", "support") for text in texts)
