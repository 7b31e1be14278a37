"""Where a model stands: capabilities, percentiles, residual, neighbours and missing scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causal.scm.actions import Span
from causal.scm.intervention import CapabilityModel
from causal.scores.rows import Floats
from workbench.errors import BadOption, TooLittleData, UnknownName

COVERAGE = 0.9


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One capability of the model: value in points, percentile in its domain, own noise in SDs."""

    capability: str
    anchor: str
    value: Span
    percentile: float
    noise: float


@dataclass(frozen=True, kw_only=True)
class ScoreRead:
    """One score: given or predicted, what the capabilities alone would give, and the rest.

    `residual` is given minus reconstructed, in points; `surprise` is its size in standard
    deviations of the domain's own residuals. A predicted score has an interval instead.
    """

    benchmark: str
    value: Span
    given: bool
    reconstructed: float
    residual: float
    surprise: float


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A leaderboard model close by; the distance is in SDs of its domain's capabilities."""

    model: str
    distance: float
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Placement:
    """Everything the fitted graph can say about one model."""

    domain: str
    rows: int
    standings: tuple[Standing, ...]
    scores: tuple[ScoreRead, ...]
    residual_percentile: float
    neighbours: tuple[Neighbour, ...]
    warnings: tuple[str, ...]


def place(
    model: CapabilityModel,
    domain: str,
    scores: Mapping[str, float],
    *,
    names: Sequence[str] = (),
    neighbours: int = 5,
) -> Placement:
    """Place a model among the fine-tunes of its base model.

    Missing scores are predicted by least squares from the given ones over the domain's models;
    their 90% intervals come from leave-one-out errors. `names` are the domain's models, in the
    order of the fit's rows.

    Raises:
        UnknownName: the domain or a benchmark is not in the fit.
        BadOption: no score was given, or one is no finite number.
        TooLittleData: the domain is too small to predict the missing scores.
    """
    e = model.domain(domain)
    block = model.rows.blocks[e]
    _check_scores(model, scores)
    x, errors, given = _complete(model, block, scores)
    gauge = model.gauge
    z = gauge.capabilities(block)
    own = gauge.capabilities(x[None])[0]
    # Errors of predicted scores carry over to the capabilities.
    draws = gauge.capabilities(x + errors) if len(errors) else own[None]
    noise = model.noise(domain, x)
    rest = _residuals(gauge.h, block, block.mean(axis=0))
    residual = _residuals(gauge.h, x[None], block.mean(axis=0))[0]
    spread = np.maximum(rest.std(axis=0), 1e-9)
    sizes = np.linalg.norm(rest / spread, axis=1)
    return Placement(
        domain=domain,
        rows=len(block),
        standings=tuple(
            Standing(
                capability=name,
                anchor=model.anchors[i],
                value=_span(own[i], draws[:, i]),
                percentile=_percentile(own[i], z[:, i]),
                noise=float(noise[i]),
            )
            for i, name in enumerate(model.names)
        ),
        scores=_score_reads(model, (x, errors, given), residual, spread),
        residual_percentile=_percentile(float(np.linalg.norm(residual / spread)), sizes),
        neighbours=_neighbours(model, domain, own, (names, neighbours)),
        warnings=_warnings(model, domain, own, given),
    )


def _score_reads(
    model: CapabilityModel,
    completed: tuple[Floats, Floats, "np.ndarray[tuple[int], np.dtype[np.bool_]]"],
    residual: Floats,
    spread: Floats,
) -> tuple[ScoreRead, ...]:
    x, errors, given = completed
    return tuple(
        ScoreRead(
            benchmark=name,
            value=Span(value=float(x[j])) if given[j] else _span(x[j], x[j] + errors[:, j]),
            given=bool(given[j]),
            reconstructed=float(x[j] - residual[j]),
            residual=float(residual[j]),
            surprise=float(residual[j] / spread[j]),
        )
        for j, name in enumerate(model.rows.benchmarks)
    )


def _check_scores(model: CapabilityModel, scores: Mapping[str, float]) -> None:
    benchmarks = model.rows.benchmarks
    unknown = [name for name in scores if name not in benchmarks]
    if unknown:
        raise UnknownName(
            f"no benchmark {', '.join(map(repr, unknown))}; the fit has {', '.join(benchmarks)}"
        )
    bad = [name for name, value in scores.items() if not np.isfinite(value)]
    if bad or not scores:
        raise BadOption(f"scores that are finite numbers are needed; not so: {bad or 'none given'}")
    if model.scale:
        low, high = model.scale
        outside = [f"{n} = {v:g}" for n, v in scores.items() if not low <= v <= high]
        if outside:
            raise BadOption(
                f"{', '.join(outside)} lies outside {low:g} to {high:g}",
                hint="scores are on the leaderboard's scale, chance-corrected, in points",
            )


def _complete(
    model: CapabilityModel, block: Floats, scores: Mapping[str, float]
) -> tuple[Floats, Floats, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """Fill missing scores; return them with leave-one-out errors, zero where given."""
    benchmarks = model.rows.benchmarks
    given = np.array([name in scores for name in benchmarks])
    x = np.array([scores.get(name, 0.0) for name in benchmarks], dtype=np.float64)
    if given.all():
        return x, np.zeros((0, len(x))), given
    design = np.column_stack([np.ones(len(block)), block[:, given]])
    if len(block) < 3 * design.shape[1]:
        raise TooLittleData(
            f"{len(block)} models cannot predict missing scores from {design.shape[1] - 1} others",
            hint="give all scores",
        )
    weights, *_ = np.linalg.lstsq(design, block[:, ~given], rcond=None)
    x[~given] = np.concatenate([[1.0], x[given]]) @ weights
    left, _ = np.linalg.qr(design)
    leverage = np.minimum(np.einsum("ni,ni->n", left, left), 0.999)
    errors = np.zeros((len(block), len(x)))
    errors[:, ~given] = (block[:, ~given] - design @ weights) / (1.0 - leverage)[:, None]
    return x, errors, given


def _residuals(
    h: Float[np.ndarray, "k d"], x: Float[np.ndarray, "n d"], mean: Float[np.ndarray, " d"]
) -> Floats:
    centred = x - mean
    rest: Floats = centred - centred @ h.T @ np.linalg.pinv(h).T
    return rest


def _span(value: float, draws: Floats) -> Span:
    if len(draws) < 2:
        return Span(value=float(value))
    low, high = np.quantile(draws, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Span(value=float(value), low=float(low), high=float(high))


def _percentile(value: float, others: Floats) -> float:
    below, equal = (others < value).mean(), (others == value).mean()
    return float(100 * (below + equal / 2))


def _neighbours(
    model: CapabilityModel, domain: str, own: Floats, wanted: tuple[Sequence[str], int]
) -> tuple[Neighbour, ...]:
    names, count = wanted
    e = model.domain(domain)
    block = model.rows.blocks[e]
    if len(names) != len(block):
        return ()
    gauge = model.gauge
    # In units of the domain's own noises, distances do not depend on the gauge.
    apart = (gauge.capabilities(block) - own) @ gauge.b[e].T
    distance = np.linalg.norm(apart, axis=1)
    return tuple(
        Neighbour(
            model=names[i],
            distance=float(distance[i]),
            scores=dict(zip(model.rows.benchmarks, map(float, block[i]), strict=True)),
        )
        for i in np.argsort(distance, kind="stable")[:count]
    )


def _warnings(
    model: CapabilityModel,
    domain: str,
    own: Floats,
    given: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
) -> tuple[str, ...]:
    warnings = [
        f"{support.capability} = {value:.1f} lies outside what 98 in 100 models of {domain} show "
        f"({support.low:.1f} to {support.high:.1f})"
        for support, value in zip(model.support(domain), own, strict=True)
        if not support.low <= value <= support.high
    ]
    missing = [n for n, here in zip(model.rows.benchmarks, given, strict=True) if not here]
    if missing:
        warnings.append(f"predicted, not measured: {', '.join(missing)}")
    return tuple(warnings)
