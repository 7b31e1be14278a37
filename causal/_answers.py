"""Answers as tables."""

from collections.abc import Sequence
from itertools import combinations

from causal._actions import Change
from causal.intervention import CapabilityModel
from causal.place import Placement
from workbench.result.tables import Column, Table

_POINTS = "points"


def changes_table(changes: Sequence[Change], *, intervals: bool = True) -> Table:
    """Return before, after and change of every quantity, with the interval of the change.

    Capabilities go without: their scale moves with the anchor from resample to resample.
    """
    rows = [
        {
            "name": c.name,
            "before": c.before,
            "after": c.after.value,
            "change": c.after.value - c.before,
            "change_low": None if c.after.low is None or not intervals else c.after.low - c.before,
            "change_high": None
            if c.after.high is None or not intervals
            else c.after.high - c.before,
        }
        for c in changes
    ]
    columns = {
        "before": Column(_POINTS, "Before the action."),
        "after": Column(_POINTS, "After it."),
        "change": Column(_POINTS, "Predicted change.", "change_low", "change_high"),
    }
    return Table.from_rows(rows, columns)


def paths_table(model: CapabilityModel, domain: str) -> Table:
    """Return direct, indirect and total effects of every pair, and the effect of every path."""
    rows = []
    for cause, effect in combinations(model.numbers, 2):
        found = model.paths(domain, cause, effect)
        parts = [("direct", found.direct), ("indirect", found.indirect), ("total", found.total)]
        parts += [(" → ".join(path.through), path.effect) for path in found.paths]
        rows += [
            {
                "cause": found.cause,
                "effect": found.effect,
                "part": name,
                "value": span.value,
                "low": span.low,
                "high": span.high,
            }
            for name, span in parts
        ]
    return Table.from_rows(rows, {"value": Column("points per point", "Effect.", "low", "high")})


def support_table(model: CapabilityModel, domain: str) -> Table:
    """Return where the models of the domain lie on each capability."""
    columns = {
        "low": Column(_POINTS, "1 in 100 models lies below."),
        "high": Column(_POINTS, "1 in 100 models lies above."),
        "median": Column(_POINTS, "Half of the models lie below."),
    }
    return Table.from_rows(map(vars, model.support(domain)), columns)


_VALUE = Column(_POINTS, "Value; the interval is there when scores were predicted.", "low", "high")


def placement_tables(placed: Placement) -> dict[str, Table]:
    """Return standings, scores and neighbours."""
    neighbours = [{"model": n.model, "distance": n.distance, **n.scores} for n in placed.neighbours]
    return {
        "standings": _standings(placed),
        "scores": _scores(placed),
        "neighbours": Table.from_rows(
            neighbours, {"distance": Column("SD", "Distance in the domain's capabilities.")}
        ),
    }


def _standings(placed: Placement) -> Table:
    rows = [
        {
            "capability": s.capability,
            "anchor": s.anchor,
            "value": s.value.value,
            "low": s.value.low,
            "high": s.value.high,
            "percentile": s.percentile,
            "noise": s.noise,
        }
        for s in placed.standings
    ]
    columns = {
        "value": _VALUE,
        "percentile": Column("percentile", "Among the models of the domain."),
        "noise": Column("SD", "The capability's own part, not caused by the others."),
    }
    return Table.from_rows(rows, columns)


def _scores(placed: Placement) -> Table:
    rows = [
        {
            "benchmark": s.benchmark,
            "value": s.value.value,
            "low": s.value.low,
            "high": s.value.high,
            "given": s.given,
            "reconstructed": s.reconstructed,
            "residual": s.residual,
            "surprise": s.surprise,
        }
        for s in placed.scores
    ]
    columns = {
        "value": _VALUE,
        "reconstructed": Column(_POINTS, "What the capabilities alone would give."),
        "residual": Column(_POINTS, "Given minus reconstructed."),
        "surprise": Column("SD", "Residual in SDs of the domain's residuals."),
    }
    return Table.from_rows(rows, columns)
