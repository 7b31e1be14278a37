"""What can be done to a structural model, and how its answers look."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from causal.scores.rows import Floats

Unit = Literal["sd", "points"]


@dataclass(frozen=True, kw_only=True)
class Shock:
    """Add to the exogenous part of a capability: in SDs of its own noise, or in points."""

    capability: str
    size: float
    unit: Unit = "sd"


@dataclass(frozen=True, kw_only=True)
class Do:
    """Set a capability to a value, in points of its anchor, cutting what causes it."""

    capability: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Change one score and no capability, in points."""

    benchmark: str
    change: float


Action: TypeAlias = Shock | Do | Measure


@dataclass(frozen=True, kw_only=True)
class Span:
    """A value with its 95% bootstrap interval (None without resamples)."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Path:
    """One directed path and the product of the effects along it."""

    through: tuple[str, ...]
    effect: Span


@dataclass(frozen=True, kw_only=True)
class PathEffects:
    """Direct, indirect and total effect of one capability on another, in points per point."""

    cause: str
    effect: str
    direct: Span
    indirect: Span
    total: Span
    paths: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A quantity before and after the actions; the interval is that of `after`."""

    name: str
    before: float
    after: Span


@dataclass(frozen=True, kw_only=True, eq=False)
class Counterfactual:
    """A model before and after the actions, with warnings where the answer is extrapolated.

    `noise` is what abduction found: the exogenous part of each capability in SDs of its domain.
    """

    domain: str
    capabilities: tuple[Change, ...]
    scores: tuple[Change, ...]
    noise: Mapping[str, float]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Support:
    """Where the models of a domain lie on one capability, in points of its anchor.

    `low` and `high` hold 98 in 100 of them between them.
    """

    capability: str
    lowest: float
    low: float
    median: float
    high: float
    highest: float


def along(effects: Floats, steps: Sequence[int]) -> float:
    """Return the product of the effects along a path."""
    return float(np.prod([effects[a, b] for a, b in itertools.pairwise(steps)]))


def changes(names: Sequence[str], before: Floats, after: Sequence[Span]) -> tuple[Change, ...]:
    """Pair names with their values before and after."""
    return tuple(
        Change(name=name, before=float(old), after=new)
        for name, old, new in zip(names, before, after, strict=True)
    )


def supports(names: Sequence[str], z: Floats) -> tuple[Support, ...]:
    """Return where the rows of `z` lie on each capability."""
    points = np.quantile(z, [0.0, 0.01, 0.5, 0.99, 1.0], axis=0).T
    return tuple(
        Support(
            capability=name,
            lowest=float(p[0]),
            low=float(p[1]),
            median=float(p[2]),
            high=float(p[3]),
            highest=float(p[4]),
        )
        for name, p in zip(names, points, strict=True)
    )
