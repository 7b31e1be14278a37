"""How close an estimate comes to a planted graph, and recovery curves over many seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from causal.hca.alignment import search
from causal.hca.components import fit_components
from causal.hca.gauge import Gauge
from causal.hca.ica import IcaOptions
from causal.hca.triangular import TriangularFit, fit_triangular
from causal.planted.simulate import Design, Planted, plant
from workbench.errors import FitError, TooLittleData
from workbench.progress import Progress, silent
from workbench.result.intervals import proportion_interval
from workbench.result.result import Note, Result
from workbench.result.tables import Table, columns_from
from workbench.result.views import Curve


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How close a fit came to the planted graph, in the canonical gauge.

    `edge_error` is the root mean square error of the direct effects divided by the root mean
    square of the true ones; with `order_correct` false it is measured after the true alignment
    is imposed, and says what the components alone would have allowed.
    """

    amari: float
    score: float
    order_correct: bool
    flag_angle: float
    edge_error: float
    sign_accuracy: float
    scale_error: float


def true_alignment(
    planted: Planted, unmixing: Float[np.ndarray, "domain k d"]
) -> Int[np.ndarray, "domain k"]:
    """Return the component of each domain that is closest to each true noise."""
    orders = np.array(list(permutations(range(unmixing.shape[1]))))
    found = []
    for estimate, b in zip(unmixing, planted.b, strict=True):
        # Entry [true, estimated]: size of the estimated component's share in the true noise.
        product = np.abs(estimate @ planted.loadings @ np.linalg.inv(b)).T
        product /= np.linalg.norm(product, axis=0)
        match = product[np.arange(len(b)), orders].sum(axis=1).argmax()
        found.append(orders[match])
    return np.array(found)


def amari_error(estimate: Float[np.ndarray, "k d"], mixing: Float[np.ndarray, "d k"]) -> float:
    """Return the Amari distance from a permutation, 0 (perfect) to 1.

    Source: Amari, Cichocki & Yang 1996, normalised by 2k(k − 1).
    """
    p = np.abs(estimate @ mixing)
    k = len(p)
    if k == 1:
        return 0.0
    rows = (p / p.max(axis=1, keepdims=True)).sum(axis=1) - 1
    columns = (p / p.max(axis=0, keepdims=True)).sum(axis=0) - 1
    return float((rows.sum() + columns.sum()) / (2 * k * (k - 1)))


def flag_angle(a: Float[np.ndarray, "k d"], b: Float[np.ndarray, "k d"]) -> float:
    """Return the largest principal angle, in degrees, between the spans of the first i rows."""
    worst = 0.0
    for i in range(1, len(a) + 1):
        first, second = (np.linalg.qr(m[:i].T)[0] for m in (a, b))
        # The sine is accurate for small angles, where the cosine is not.
        sine = float(np.linalg.norm(second - first @ (first.T @ second), ord=2))
        worst = max(worst, float(np.degrees(np.arcsin(min(sine, 1.0)))))
    return worst


def recover(
    planted: Planted,
    unmixing: Float[np.ndarray, "domain k d"],
    fit: TriangularFit,
    *,
    order_correct: bool,
) -> Recovery:
    """Compare a triangular fit with the truth."""
    truth = planted.gauge
    estimate = Gauge(h=fit.h, b=fit.b, offset=np.zeros(len(fit.h)))
    signs = np.sign(np.einsum("kd,kd->k", estimate.h, truth.h))
    estimate = estimate.transform(np.diag(np.where(signs == 0, 1.0, signs)), np.zeros(len(signs)))
    upper = np.triu_indices(len(fit.h), 1)
    true_edges = truth.effects[:, upper[0], upper[1]]
    edges = estimate.effects[:, upper[0], upper[1]]
    size = float(np.sqrt((true_edges**2).mean())) if true_edges.size else 0.0
    mixing = planted.loadings @ np.linalg.inv(planted.b)
    return Recovery(
        amari=float(np.mean([amari_error(m, w) for m, w in zip(unmixing, mixing, strict=True)])),
        score=fit.score,
        order_correct=order_correct,
        flag_angle=flag_angle(estimate.h, truth.h),
        edge_error=float(np.sqrt(((edges - true_edges) ** 2).mean())) / size if size else 0.0,
        sign_accuracy=_sign_accuracy(edges, true_edges),
        scale_error=float(np.abs(np.log(estimate.scales / truth.scales)).mean()),
    )


def _sign_accuracy(edges: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    present = np.abs(truth) > 1e-9
    return float((np.sign(edges) == np.sign(truth))[present].mean()) if present.any() else 1.0


def recover_one(design: Design, seed: int, *, options: IcaOptions | None = None) -> Recovery | None:
    """Plant a graph, fit it and compare; None when the components could not be found."""
    generator = np.random.default_rng([seed, 7])
    planted = plant(design, generator)
    try:
        components = fit_components(planted.rows, design.k, generator=generator, options=options)
        unmixing = np.array([c.unmixing for c in components])
        found = search(unmixing)
        estimate, truth = found.alignments[found.best], true_alignment(planted, unmixing)
        fit = fit_triangular(unmixing, truth)
    except (FitError, TooLittleData):
        return None
    score = float(found.scores.min())
    correct = bool(is_consistent(estimate, truth, planted.mask))
    return replace(recover(planted, unmixing, fit, order_correct=correct), score=score)


def is_consistent(
    estimate: Int[np.ndarray, "domain k"],
    truth: Int[np.ndarray, "domain k"],
    mask: Float[np.ndarray, "k k"],
) -> bool:
    """Whether components are matched rightly and no effect comes before its cause.

    With every edge present only the true order qualifies.
    """
    places = np.array([[list(t).index(c) for c in e] for e, t in zip(estimate, truth, strict=True)])
    if (places != places[0]).any():
        return False
    order = list(places[0])
    reach = np.linalg.matrix_power(np.eye(len(mask)) + mask, len(mask)) > 0
    return all(
        order.index(cause) < order.index(effect)
        for effect, cause in np.argwhere(reach)
        if cause != effect
    )


def recovery_curve(
    designs: Sequence[Design],
    *,
    seeds: int = 100,
    options: IcaOptions | None = None,
    progress: Progress = silent,
) -> Result:
    """Plant and fit every design under many seeds and report recovery with intervals.

    Raises:
        TooLittleData: no seed of a design could be fitted.
    """
    rows, done, total = [], 0, len(designs) * seeds
    for design in designs:
        runs = []
        for seed in range(seeds):
            progress(done, total, "planted graphs")
            run = recover_one(design, seed, options=options)
            runs += [run] if run else []
            done += 1
        if not runs:
            raise TooLittleData(f"no planted graph could be fitted under {design}")
        rows.append({**asdict(design), **_summary(runs, seeds)})
    progress(total, total, "planted graphs")
    table = Table.from_rows(rows, RECOVERY_COLUMNS)
    worst = min(row["order_recovery"] for row in rows)
    return Result(
        summary=f"{len(designs)} designs of {seeds} planted graphs each; order recovery from "
        f"{worst:.2f} up",
        tables={"recovery": table},
        notes=(
            Note(
                "effects are compared in the canonical gauge; a few runs whose weakest noise "
                "drowns in the residual dominate the error over all runs, so it is given with "
                "and without runs of the wrong order"
            ),
        ),
        views=_VIEWS,
    )


_VIEWS = (
    Curve(
        "Recovery of the causal order",
        "recovery",
        x="n",
        y=("order_recovery",),
        group="noise",
        log_x=True,
    ),
    Curve(
        "Relative error of direct effects",
        "recovery",
        x="n",
        y=("edge_error",),
        group="noise",
        log_x=True,
        log_y=True,
    ),
)
RECOVERY_COLUMNS = columns_from("""
    n (models): Models per domain.
    residual: Measurement noise as a share of the SD of a score.
    density: Share of possible edges present.
    contamination: Share of mislabelled rows.
    order_recovery (proportion; order_low, order_high): Runs with the right match and order.
    edge_error: Relative error of effects, RMS over runs with the right order.
    edge_error_all: The same over all runs, with the true alignment imposed.
    edge_error_median: Median over all runs, with the true alignment imposed.
    amari: Mean Amari error of the components, 0 to 1.
    max_inexactness: Median best score.
    flag_angle (degrees): Median largest angle between true and fitted flags.
    sign_accuracy (proportion): Direct effects with the right sign.
    scale_error: Mean |log| ratio of noise scales.
    failed (runs): Runs without a fit.
""")


def _summary(runs: Sequence[Recovery], seeds: int) -> dict[str, int | float | None]:
    right = sum(run.order_correct for run in runs)
    interval = proportion_interval(right, len(runs))

    def values(name: str) -> NDArray[np.float64]:
        return np.array([getattr(run, name) for run in runs])

    errors = values("edge_error")
    correct = np.array([run.order_correct for run in runs])
    return {
        "runs": len(runs),
        "failed": seeds - len(runs),
        "order_recovery": right / len(runs),
        "order_low": interval.low,
        "order_high": interval.high,
        "edge_error": float(np.sqrt((errors[correct] ** 2).mean())) if right else None,
        "edge_error_all": float(np.sqrt((errors**2).mean())),
        "edge_error_median": float(np.median(values("edge_error"))),
        "amari": float(values("amari").mean()),
        "max_inexactness": float(np.median(values("score"))),
        "flag_angle": float(np.median(values("flag_angle"))),
        "sign_accuracy": float(values("sign_accuracy").mean()),
        "scale_error": float(values("scale_error").mean()),
    }
