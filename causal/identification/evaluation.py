"""What the data can say about the order of capabilities: resamples, nulls and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from causal.hca.fit import HierarchicalFit
from causal.hca.ica import IcaFit
from causal.identification.bootstrap import Bootstrap, BootstrapOptions, bootstrap_fit
from causal.identification.choice import Candidates
from causal.identification.nulls import (
    Gaussianity,
    OrderTest,
    RotationNull,
    gaussianity,
    order_test,
    placebo_scores,
    rotation_null,
)
from causal.identification.verdict import Verdict, judge
from workbench.progress import Progress, silent


@dataclass(frozen=True, kw_only=True)
class IdentificationOptions(BootstrapOptions):
    """How much evidence to gather, resamples included."""

    null_draws: int = 200
    order_draws: int = 100
    placebo_draws: int = 20
    gaussian_draws: int = 99


@dataclass(frozen=True, kw_only=True, eq=False)
class Identification:
    """All the evidence about one fit, and the verdict."""

    fit: HierarchicalFit
    bootstrap: Bootstrap
    rotation: RotationNull
    orders: OrderTest
    gaussian: tuple[Gaussianity, ...]
    placebo: Float[np.ndarray, "draw order"]
    verdict: Verdict


def identify(
    fit: HierarchicalFit,
    *,
    candidates: Candidates | None = None,
    options: IdentificationOptions | None = None,
    progress: Progress = silent,
) -> Identification:
    """Resample, simulate and randomise a fit, and judge whether its order is identified.

    With `candidates` the rotation null repeats the choice among all their subsets.
    """
    options = options or IdentificationOptions()
    streams = [np.random.default_rng([options.seed, i]) for i in range(3)]
    bootstrap = bootstrap_fit(fit, options=options, progress=progress)
    rotation = _rotation(fit, candidates, options, streams[0], progress)
    orders = order_test(
        fit, seed=options.seed, draws=options.order_draws, ica=options.ica, progress=progress
    )
    gaussian = tuple(
        gaussianity(c, n, generator=streams[1], draws=options.gaussian_draws)
        for c, n in zip(fit.components, fit.rows.counts, strict=True)
    )
    placebo = placebo_scores(
        fit.rows, fit.k, generator=streams[2], draws=options.placebo_draws, options=options.ica
    )
    verdict = judge(fit, bootstrap=bootstrap, rotation=rotation, orders=orders, gaussian=gaussian)
    return Identification(
        fit=fit,
        bootstrap=bootstrap,
        rotation=rotation,
        orders=orders,
        gaussian=gaussian,
        placebo=placebo,
        verdict=verdict,
    )


def _rotation(
    fit: HierarchicalFit,
    candidates: Candidates | None,
    options: IdentificationOptions,
    generator: np.random.Generator,
    progress: Progress,
) -> RotationNull:
    own = tuple(range(len(fit.rows)))
    whitening = {own: _whitening(fit.components)}
    if candidates is not None:
        own = tuple(candidates.rows.names.index(name) for name in fit.rows.names)
        whitening = {s.subset: _whitening(s.components) for s in candidates.subsets}
    return rotation_null(
        whitening,
        (own, float(fit.search.scores.min())),
        generator=generator,
        draws=options.null_draws,
        progress=progress,
    )


def _whitening(components: Sequence[IcaFit]) -> Float[np.ndarray, "domain k d"]:
    return np.array([c.whitening for c in components])
