"""What the scores would be if there were nothing to find: rotations, Gaussians, each order true."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from causal.hca.alignment import search
from causal.hca.components import fit_components
from causal.hca.fit import HierarchicalFit, search_components
from causal.hca.ica import IcaFit, IcaOptions, gaussian_contrasts
from causal.hca.triangular import fit_triangular
from causal.identification.bootstrap import BootstrapOptions, refit_components
from causal.scores.rows import DomainRows
from workbench.errors import DataError, FitError
from workbench.progress import Progress, silent
from workbench.result.intervals import permutation_p

Subset = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class RotationNull:
    """Scores with each domain's rotation replaced by a random one, everything else kept.

    `single` holds the best score of the chosen subset, `chosen` the best over all subsets that
    were tried, as the real choice was made. The p-values say how often the null scores as low.
    """

    single: Float[np.ndarray, " draw"]
    chosen: Float[np.ndarray, " draw"]
    gaps: Float[np.ndarray, " draw"]
    p_single: float
    p_chosen: float


def rotation_null(
    whitening: Mapping[Subset, Float[np.ndarray, "domain k d"]],
    observed: tuple[Subset, float],
    *,
    generator: np.random.Generator,
    draws: int = 200,
    progress: Progress = silent,
) -> RotationNull:
    """Score random rotations of the whitened scores of every domain.

    `whitening` holds that of every choice of domains that was compared; `observed` is the one
    reported and its score. Choosing the best of several lowers the score by chance, and the null
    chooses too.
    """
    count = 1 + max(max(subset) for subset in whitening)
    k = whitening[observed[0]].shape[1]
    single, chosen, gaps = np.empty(draws), np.empty(draws), np.empty(draws)
    for draw in range(draws):
        progress(draw, draws, "random rotations")
        rotations = _random_rotations(count, k, generator)
        own = search(rotations[list(observed[0])] @ whitening[observed[0]])
        single[draw], gaps[draw] = own.scores.min(), own.gap
        chosen[draw] = single[draw]
        for other, own_whitening in whitening.items():
            # Only scores below the best so far matter, and the search stops short of the rest.
            rotated = rotations[list(other)] @ own_whitening
            scores = search(rotated, ceiling=chosen[draw]).scores
            chosen[draw] = scores.min()
    progress(draws, draws, "random rotations")
    return RotationNull(
        single=single,
        chosen=chosen,
        gaps=gaps,
        p_single=permutation_p(-observed[1], -single),
        p_chosen=permutation_p(-observed[1], -chosen),
    )


def _random_rotations(
    count: int, k: int, generator: np.random.Generator
) -> Float[np.ndarray, "domain k k"]:
    # QR with positive diagonal gives the uniform distribution on orthogonal matrices.
    q, r = np.linalg.qr(generator.standard_normal((count, k, k)))
    rotations: NDArray[np.float64] = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    return rotations


@dataclass(frozen=True, kw_only=True, eq=False)
class Gaussianity:
    """How far from normal the components of one domain are, beside what chance gives.

    Independent components exist only up to rotation when two of them are normal, so the second
    smallest contrast decides: `contrast` is that of the (k − 1)-th most non-Gaussian component,
    `threshold` its 95% point under Gaussian data of the same size.
    """

    contrast: float
    threshold: float
    p: float

    @property
    def is_gaussian(self) -> bool:
        """Whether two or more components cannot be told from normal ones."""
        return self.p > 0.05


def gaussianity(
    fit: IcaFit, n: int, *, generator: np.random.Generator, draws: int = 99
) -> Gaussianity:
    """Compare contrasts with those found in Gaussian data of the same size.

    With one component nothing can rotate, and the answer is a p-value of 0.
    """
    k = len(fit.unmixing)
    if k < 2:
        return Gaussianity(contrast=float(fit.contrasts[0]), threshold=0.0, p=0.0)
    options = IcaOptions(restarts=4, tolerance=1e-4, max_iterations=300)
    null = gaussian_contrasts(n, k, draws=draws, generator=generator, options=options)
    second = np.sort(null, axis=1)[:, 1]
    own = float(np.sort(fit.contrasts)[1])
    return Gaussianity(
        contrast=own,
        threshold=float(np.quantile(second, 0.95)),
        p=permutation_p(own, second),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class OrderTest:
    """For every order: could data made under it look like ours?

    `p_fit` asks whether its score is larger than it would then be by sampling alone; `p_order`
    whether it loses to the best order by more than it would. Both are simulated from the fit
    under that order, with its own components redrawn independently. The simulation takes the
    estimated differences between domains for real, so it rules orders out too readily when
    domains are alike: alone it identifies nothing, and the verdict asks for resampling as well.
    """

    p_fit: Float[np.ndarray, " order"]
    p_order: Float[np.ndarray, " order"]
    draws: int

    @property
    def possible(self) -> Bool[np.ndarray, " order"]:
        """The orders that the data do not rule out at the 5% level."""
        return self.p_order > 0.05


def order_test(
    fit: HierarchicalFit,
    *,
    seed: int = 0,
    draws: int = 100,
    restarts: int = 2,
    ica: IcaOptions | None = None,
    progress: Progress = silent,
) -> OrderTest:
    """Simulate the fit under every order and compare scores and distances to the best.

    `ica` are the options of the fit; `restarts` replaces theirs.
    """
    found = fit.search
    losses = found.scores - found.scores.min()
    p_fit, p_order = np.ones(len(found.orders)), np.ones(len(found.orders))
    options = BootstrapOptions(restarts=restarts, ica=ica or IcaOptions())
    for index in range(len(found.orders)):
        progress(index, len(found.orders), "orders tested")
        scores = _simulated_scores(fit, index, (seed, draws), options)
        p_fit[index] = permutation_p(found.scores[index], scores[:, index])
        p_order[index] = permutation_p(losses[index], scores[:, index] - scores.min(axis=1))
    progress(len(found.orders), len(found.orders), "orders tested")
    return OrderTest(p_fit=p_fit, p_order=p_order, draws=draws)


def _simulated_scores(
    fit: HierarchicalFit, index: int, budget: tuple[int, int], options: BootstrapOptions
) -> Float[np.ndarray, "draw order"]:
    seed, draws = budget
    found = fit.search
    try:
        triangular = fit_triangular(fit.unmixing, found.alignments[index])
    except FitError:
        return np.full((1, len(found.orders)), np.inf)
    exact = triangular.b @ triangular.h
    scores = []
    for draw in range(draws):
        generator = np.random.default_rng([seed, index, draw])
        blocks = [
            _regenerate(block, component, own, generator)
            for block, component, own in zip(fit.rows.blocks, fit.components, exact, strict=True)
        ]
        rows = fit.rows.replace(blocks)
        try:
            components, _ = refit_components(fit, rows, options, generator)
        except (FitError, DataError):
            continue
        scores.append(search_components(rows, components).scores)
    return np.array(scores)


def _regenerate(
    block: Float[np.ndarray, "n d"],
    component: IcaFit,
    unmixing: Float[np.ndarray, "k d"],
    generator: np.random.Generator,
) -> Float[np.ndarray, "n d"]:
    """Draw rows whose noises follow `unmixing` exactly and are independent of each other."""
    centred = block - component.mean
    y = centred @ unmixing.T
    y = y / y.std(axis=0, ddof=1)
    rest = centred - centred @ component.unmixing.T @ component.mixing.T
    n = len(block)
    noise = np.column_stack([column[generator.integers(0, n, n)] for column in y.T])
    rows: NDArray[np.float64] = (
        component.mean + noise @ np.linalg.pinv(unmixing).T + rest[generator.integers(0, n, n)]
    )
    return rows


def all_subsets(count: int, least: int) -> tuple[Subset, ...]:
    """List every choice of at least `least` of the domains, in order."""
    return tuple(s for size in range(least, count + 1) for s in combinations(range(count), size))


def placebo_scores(
    rows: DomainRows,
    k: int,
    *,
    generator: np.random.Generator,
    draws: int = 20,
    options: IcaOptions | None = None,
) -> Float[np.ndarray, "draw order"]:
    """Score domains of the same sizes dealt out at random from the pooled rows.

    Such domains are all alike, so low scores under every order are expected: a low score is no
    evidence of order.
    """
    scores = []
    for _ in range(draws):
        dealt = rows.shuffle(generator)
        try:
            components = fit_components(dealt, k, generator=generator, options=options)
        except FitError:
            continue
        scores.append(search_components(dealt, components).scores)
    return np.array(scores)
