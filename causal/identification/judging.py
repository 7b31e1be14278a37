"""What the data can say about the order of capabilities: resamples, nulls and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from causal.hca.alignment import search
from causal.hca.fit import HierarchicalFit, fit_domains
from causal.hca.ica import IcaFit, IcaOptions, fit_ica
from causal.hca.triangular import fit_triangular
from causal.identification.bootstrap import Bootstrap, BootstrapOptions, bootstrap_fit
from causal.identification.nulls import (
    Gaussianity,
    OrderTest,
    RotationNull,
    Subset,
    all_subsets,
    gaussianity,
    order_test,
    placebo_scores,
    rotation_null,
)
from causal.identification.verdict import Check, Verdict, judge
from causal.scores.rows import DomainRows
from workbench.errors import BadOption
from workbench.progress import Progress, silent

__all__ = [
    "Bootstrap",
    "Candidates",
    "Check",
    "Identification",
    "IdentificationOptions",
    "SubsetScore",
    "Verdict",
    "choose_domains",
    "identify",
]


@dataclass(frozen=True, kw_only=True)
class SubsetScore:
    """How one choice of domains fits: best order, its score and every domain's share."""

    subset: Subset
    names: tuple[str, ...]
    score: float
    gap: float
    inexactness: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """The domains that may be fitted together, their components, and every choice scored."""

    rows: DomainRows
    components: tuple[IcaFit, ...]
    subsets: tuple[SubsetScore, ...]

    @property
    def best(self) -> SubsetScore:
        """The choice of domains with the lowest score."""
        return min(self.subsets, key=lambda subset: subset.score)


def choose_domains(
    rows: DomainRows,
    k: int,
    *,
    least: int = 4,
    generator: np.random.Generator,
    options: IcaOptions | None = None,
) -> Candidates:
    """Score every choice of at least `least` domains (all of them when there are fewer).

    Choosing the lowest of several scores is what the published analysis does; the rotation null
    of `identify` repeats the choice.

    Raises:
        BadOption: more choices than can be searched.
    """
    least = min(least, len(rows))
    subsets = all_subsets(len(rows), least)
    if len(subsets) > 600:
        raise BadOption(
            f"{len(rows)} domains give {len(subsets)} choices of at least {least}",
            hint="name the domains, or raise the least number",
        )
    components = tuple(fit_ica(b, k, generator=generator, options=options) for b in rows.blocks)
    scored = tuple(_score_subset(rows, components, subset) for subset in subsets)
    return Candidates(rows=rows, components=components, subsets=scored)


def _score_subset(rows: DomainRows, components: tuple[IcaFit, ...], subset: Subset) -> SubsetScore:
    unmixing = np.array([components[i].unmixing for i in subset])
    counts = [rows.counts[i] for i in subset]
    found = search(unmixing, reference=int(np.argmax(counts)))
    fit = fit_triangular(unmixing, found.alignments[found.best])
    return SubsetScore(
        subset=subset,
        names=tuple(rows.names[i] for i in subset),
        score=float(found.scores.min()),
        gap=found.gap,
        inexactness=tuple(float(v) for v in fit.inexactness),
    )


@dataclass(frozen=True, kw_only=True)
class IdentificationOptions:
    """How much evidence to gather; `keep` is a folder for finished resamples."""

    resamples: int = 300
    null_draws: int = 200
    order_draws: int = 100
    placebo_draws: int = 20
    gaussian_draws: int = 99
    restarts: int = 4
    seed: int = 0
    keep: Path | None = None
    ica: IcaOptions = field(default_factory=IcaOptions)


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
    bootstrap = bootstrap_fit(fit, options=_resampling(options), progress=progress)
    rotation = _rotation(fit, candidates, options, streams[0], progress)
    orders = order_test(fit, seed=options.seed, draws=options.order_draws, progress=progress)
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


def _resampling(options: IdentificationOptions) -> BootstrapOptions:
    return BootstrapOptions(
        resamples=options.resamples,
        restarts=options.restarts,
        seed=options.seed,
        keep=options.keep,
        ica=options.ica,
    )


def _rotation(
    fit: HierarchicalFit,
    candidates: Candidates | None,
    options: IdentificationOptions,
    generator: np.random.Generator,
    progress: Progress,
) -> RotationNull:
    components: Sequence[IcaFit] = fit.components
    own = tuple(range(len(fit.rows)))
    subsets: tuple[Subset, ...] = (own,)
    if candidates is not None:
        components = candidates.components
        own = tuple(candidates.rows.names.index(name) for name in fit.rows.names)
        subsets = tuple(s.subset for s in candidates.subsets)
    return rotation_null(
        components,
        subsets,
        (own, float(fit.search.scores.min())),
        generator=generator,
        draws=options.null_draws,
        progress=progress,
    )


def fit_all(
    rows: DomainRows,
    k: int,
    *,
    options: IdentificationOptions,
    progress: Progress = silent,
) -> Identification:
    """Fit all the given domains together and judge the order, without choosing among subsets."""
    generator = np.random.default_rng([options.seed, 99])
    fit = fit_domains(rows, k, generator=generator, options=options.ica)
    return identify(fit, options=options, progress=progress)
