"""Resampling models within domains: how firmly the data hold each order and each effect."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from causal.hca.alignment import score_orders
from causal.hca.components import fit_components
from causal.hca.fit import HierarchicalFit, assemble, canonical_gauge, search_components
from causal.hca.gauge import Gauge, anchor
from causal.hca.ica import IcaFit, IcaOptions
from causal.hca.triangular import fit_triangular
from causal.identification.bounds import bounds
from causal.scores.rows import DomainRows
from workbench.errors import CorruptRun, DataError, FitError
from workbench.progress import Progress, silent

SAVE_EVERY = 20
FORMAT = 1

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class BootstrapOptions:
    """How many resamples, and how hard each is fitted.

    Every resample starts component analysis at the components of the full data and at
    `restarts` random rotations, and keeps the mode with the highest contrast. `keep` is a folder
    in which finished resamples are stored, so that a stopped run goes on where it was.
    """

    resamples: int = 300
    restarts: int = 4
    seed: int = 0
    keep: Path | None = None
    ica: IcaOptions = field(default_factory=IcaOptions)


@dataclass(frozen=True, kw_only=True, eq=False)
class Bootstrap:
    """Every resample's scores and effects; failed resamples are left out and counted.

    `scores` and `fixed_scores` hold one column per order of `orders`: under full search, and
    with components matched to those of the full data. `gauges` are anchored fits under the
    alignment of the full data. `effects[b, e, c, f]` is the effect of component c on component f
    after full search, NaN when c does not come before f. `quality` is the correlation of each
    matched component with its original.
    """

    fit: HierarchicalFit
    scores: Float[np.ndarray, "draw order"]
    fixed_scores: Float[np.ndarray, "draw order"]
    quality: Float[np.ndarray, "draw domain k"]
    h: Float[np.ndarray, "draw k d"]
    b: Float[np.ndarray, "draw domain k k"]
    offset: Float[np.ndarray, "draw k"]
    effects: Float[np.ndarray, "draw domain k k"]
    failed: int

    def __len__(self) -> int:
        """Return the number of finished resamples."""
        return len(self.scores)

    @property
    def frequencies(self) -> Float[np.ndarray, " order"]:
        """Share of resamples in which each order scores best under full search."""
        return _frequencies(self.scores)

    @property
    def fixed_frequencies(self) -> Float[np.ndarray, " order"]:
        """The same with the match of components held fixed."""
        return _frequencies(self.fixed_scores)

    @property
    def precedence(self) -> Float[np.ndarray, "k k"]:
        """Share of resamples in which component [row] comes before component [column]."""
        orders = np.array(self.fit.search.orders)
        place = np.argsort(orders, axis=1)
        before = place[:, :, None] < place[:, None, :]
        share: NDArray[np.float64] = np.einsum("o,oij->ij", self.frequencies, before)
        return share

    def gauge(self, draw: int) -> Gauge:
        """Return the anchored fit of one resample under the alignment of the full data."""
        return Gauge(h=self.h[draw], b=self.b[draw], offset=self.offset[draw])

    def gauges(self) -> tuple[Gauge, ...]:
        """Return the anchored fits of all resamples."""
        return tuple(self.gauge(draw) for draw in range(len(self)))


def _frequencies(scores: Float[np.ndarray, "draw order"]) -> Float[np.ndarray, " order"]:
    counts = np.bincount(scores.argmin(axis=1), minlength=scores.shape[1])
    return counts / max(len(scores), 1)


def bootstrap_fit(
    fit: HierarchicalFit,
    *,
    options: BootstrapOptions | None = None,
    progress: Progress = silent,
) -> Bootstrap:
    """Refit resampled domains and collect what changes.

    Resample number i depends on the seed and i alone, so a resumed or extended run gives the
    same numbers as one run in a single go.

    Raises:
        FitError: fewer than half of the resamples could be fitted.
    """
    options = options or BootstrapOptions()
    draws = _load(fit, options)
    for index in range(len(draws["ok"]), options.resamples):
        progress(index, options.resamples, "resamples")
        draws = _append(draws, _draw(fit, options, index))
        if options.keep and (index + 1) % SAVE_EVERY == 0:
            _save(fit, options, draws)
    progress(options.resamples, options.resamples, "resamples")
    if options.keep:
        _save(fit, options, draws)
    ok = draws.pop("ok")[: options.resamples].astype(bool)
    if ok.sum() < max(2, len(ok) / 2):
        raise FitError(
            f"only {int(ok.sum())} of {len(ok)} resamples could be fitted",
            hint="use larger domains, fewer capabilities, or leave out near-constant columns",
        )
    kept = {name: array[: len(ok)][ok] for name, array in draws.items()}
    return Bootstrap(fit=fit, failed=int((~ok).sum()), **kept)


def match_components(
    estimate: Float[np.ndarray, "k d"],
    reference: Float[np.ndarray, "k d"],
    covariance: Float[np.ndarray, "d d"],
) -> tuple[Float[np.ndarray, "k d"], Float[np.ndarray, " k"]]:
    """Reorder and sign components to agree with a reference; return them and the correlations."""
    cross = estimate @ covariance @ reference.T
    spread = [np.sqrt(np.einsum("kd,de,ke->k", m, covariance, m)) for m in (estimate, reference)]
    correlation = cross / np.outer(*spread)
    k = len(estimate)
    orders = np.array(list(permutations(range(k))))
    total = np.abs(correlation)[orders, np.arange(k)].sum(axis=1)
    order = orders[total.argmax()]
    matched = correlation[order, np.arange(k)]
    signs = np.where(matched < 0, -1.0, 1.0)
    return estimate[order] * signs[:, None], np.abs(matched)


def _draw(fit: HierarchicalFit, options: BootstrapOptions, index: int) -> Arrays:
    generator = np.random.default_rng([options.seed, index])
    rows = fit.rows.resample(generator)
    try:
        components, quality = refit_components(fit, rows, options, generator)
        return {"ok": np.array(True), "quality": quality, **_measure(fit, rows, components)}
    except (FitError, DataError):
        return _blank(fit)


def refit_components(
    fit: HierarchicalFit,
    rows: DomainRows,
    options: BootstrapOptions,
    generator: np.random.Generator,
) -> tuple[tuple[IcaFit, ...], Float[np.ndarray, "domain k"]]:
    """Fit components to new rows, warm-started, numbered and signed as in the original fit."""
    found = fit_components(
        rows,
        fit.k,
        generator=generator,
        options=replace(options.ica, restarts=options.restarts),
        starts=[old.unmixing for old in fit.components],
    )
    components, quality = [], []
    for new, old, original in zip(found, fit.components, fit.rows.blocks, strict=True):
        covariance = np.cov(original, rowvar=False)
        unmixing, agreement = match_components(new.unmixing, old.unmixing, covariance)
        components.append(new.with_unmixing(unmixing))
        quality.append(agreement)
    return tuple(components), np.array(quality)


def _measure(fit: HierarchicalFit, rows: DomainRows, components: tuple[IcaFit, ...]) -> Arrays:
    unmixing = np.array([c.unmixing for c in components])
    fixed = anchor(
        canonical_gauge(fit_triangular(unmixing, fit.alignment)),
        rows.pooled,
        anchors=fit.anchoring.anchors,
    ).gauge
    found = search_components(rows, components)
    full = assemble(rows, components, found, found.best)
    return {
        "scores": found.scores,
        "fixed_scores": _fixed_scores(fit, unmixing),
        "h": fixed.h,
        "b": fixed.b,
        "offset": fixed.offset,
        "effects": component_effects(full),
    }


def _fixed_scores(
    fit: HierarchicalFit, unmixing: Float[np.ndarray, "domain k d"]
) -> Float[np.ndarray, " order"]:
    """Score reorderings of the original match, listed by component of the reference domain."""
    alignment = fit.search.alignments[fit.search.best]
    own = alignment[fit.search.reference]
    orders, scores = score_orders(unmixing, alignment)
    named = [tuple(int(own[place]) for place in order) for order in orders]
    return np.array([scores[named.index(order)] for order in fit.search.orders])


def component_effects(fit: HierarchicalFit) -> Float[np.ndarray, "domain k k"]:
    """Return anchored effects by component number, NaN where the cause is not earlier."""
    effects = np.full_like(fit.gauge.b, np.nan)
    place = np.array(fit.order)
    for i in range(fit.k):
        for j in range(i + 1, fit.k):
            effects[:, place[i], place[j]] = fit.gauge.effects[:, i, j]
    return effects


def _blank(fit: HierarchicalFit) -> Arrays:
    like: Mapping[str, NDArray[Any]] = {
        "quality": np.empty((len(fit.rows), fit.k)),
        "scores": fit.search.scores,
        "fixed_scores": fit.search.scores,
        "h": fit.gauge.h,
        "b": fit.gauge.b,
        "offset": fit.gauge.offset,
        "effects": fit.gauge.b,
    }
    return {"ok": np.array(False), **{k: np.full(v.shape, np.nan) for k, v in like.items()}}


def _append(draws: Arrays, draw: Arrays) -> Arrays:
    return {name: np.concatenate([draws[name], draw[name][None]]) for name in draws}


def _path(fit: HierarchicalFit, options: BootstrapOptions) -> Path | None:
    if options.keep is None:
        return None
    digest = hashlib.sha256(repr((FORMAT, options.seed, options.restarts, options.ica)).encode())
    for array in (*fit.rows.blocks, fit.unmixing, fit.alignment, fit.anchoring.anchors):
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return options.keep / f"bootstrap-{digest.hexdigest()[:24]}.safetensors"


def _load(fit: HierarchicalFit, options: BootstrapOptions) -> Arrays:
    path = _path(fit, options)
    if path is not None and path.is_file():
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError, ValueError) as error:
            raise CorruptRun(
                f"{path} holds unreadable resamples: {error}", hint="delete the file"
            ) from error
    return {name: array[None][:0] for name, array in _blank(fit).items()}


def _save(fit: HierarchicalFit, options: BootstrapOptions, draws: Arrays) -> None:
    path = _path(fit, options)
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({name: np.ascontiguousarray(array) for name, array in draws.items()}, partial)
    # A rename cannot leave a half-written file behind.
    partial.replace(path)


Statistic = Callable[[Gauge], Float[np.ndarray, "..."]]


def spread(
    bootstrap: Bootstrap, statistic: Statistic
) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
    """Return 95 % bounds of a statistic of the anchored fit under fixed alignment, or NaN."""
    values = np.array([statistic(gauge) for gauge in bootstrap.gauges()])
    return bounds(values, statistic(bootstrap.fit.gauge))
