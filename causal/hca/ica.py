"""Independent components of one domain: FastICA with restarts, keeping every mode found."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import FitError, NotFinite, TooLittleData

# E[log cosh v] for a standard normal v, by Gauss-Hermite quadrature with 200 nodes.
GAUSSIAN_LOG_COSH = 0.3745672074914380
DAMPING_STARTS = 60
SAME_MODE = 0.999
# Above this the values of an iteration no longer stay in the cache of a core.
VALUES_AT_A_TIME = 2**16

Subspace = Literal["shared", "domain"]


@dataclass(frozen=True, kw_only=True)
class IcaMode:
    """One fixed point of the iteration, up to the order and signs of its components."""

    rotation: Float[np.ndarray, "k k"]
    contrast: float
    hits: int


@dataclass(frozen=True, kw_only=True)
class IcaFit:
    """Unmixing of one domain into components of unit sample variance.

    `unmixing` maps a centred row to its components; `mixing` is its pseudo-inverse, so a column
    of it is the change of the scores, in their own units, when one component rises by one
    standard deviation.
    """

    mean: Float[np.ndarray, " d"]
    unmixing: Float[np.ndarray, "k d"]
    mixing: Float[np.ndarray, "d k"]
    whitening: Float[np.ndarray, "k d"]
    contrasts: Float[np.ndarray, " k"]
    kurtosis: Float[np.ndarray, " k"]
    modes: tuple[IcaMode, ...]
    restarts: int
    unconverged: int

    @property
    def is_ambiguous(self) -> bool:
        """Whether another mode comes within one per cent of the best contrast."""
        return len(self.modes) > 1 and self.modes[1].contrast > 0.99 * self.modes[0].contrast

    def with_unmixing(self, unmixing: Float[np.ndarray, "k d"]) -> "IcaFit":
        """Return the same components in another order and with other signs."""
        overlap = unmixing @ self.mixing
        order = np.abs(overlap).argmax(axis=1)
        return replace(
            self,
            unmixing=unmixing,
            mixing=np.linalg.pinv(unmixing),
            contrasts=self.contrasts[order],
            kurtosis=self.kurtosis[order],
        )


@dataclass(frozen=True, kw_only=True)
class IcaOptions:
    """How hard the fixed point is looked for, and in which subspace of the scores.

    `shared`: the principal subspace of all domains together. `domain`: each domain's own, as
    published.
    """

    restarts: int = 24
    tolerance: float = 1e-9
    max_iterations: int = 1500
    subspace: Subspace = "shared"


def fit_ica(
    x: Float[np.ndarray, "n d"],
    k: int,
    *,
    generator: np.random.Generator,
    options: IcaOptions | None = None,
    start: Float[np.ndarray, "k d"] | None = None,
    basis: Float[np.ndarray, "d k"] | None = None,
) -> IcaFit:
    """Find the k most non-Gaussian uncorrelated components of centred rows.

    The iteration is the symmetric FastICA fixed point with the log-cosh contrast. `start` is an
    earlier unmixing of similar data; it joins the random rotations as one more restart. `basis`
    holds orthonormal directions outside which the rows are not looked at; without it, the
    leading principal directions of the rows themselves.

    Raises:
        TooLittleData: fewer rows than columns, or fewer varying directions than k.
        NotFinite: a cell is NaN or infinite.
        FitError: no restart converged.

    Source: Hyvärinen 1999, "Fast and robust fixed-point algorithms for independent component
    analysis", with damping after a fixed number of steps to break cycles.
    """
    options = options or IcaOptions()
    mean, whitening, colouring = whiten(x, k, basis)
    z = whitening @ (x - mean).T
    starts = _starts(k, options.restarts, generator)
    if start is not None:
        starts = np.concatenate([_orthogonal(start @ colouring)[None], starts])
    rotations, converged = _iterate(z, starts, options)
    if not converged.any():
        # Rarely every start runs into a cycle; a second, larger round nearly always finds one
        # that does not.
        starts = _starts(k, 4 * max(options.restarts, 4) + 1, generator)
        rotations, converged = _iterate(z, starts, options)
    if not converged.any():
        raise FitError(
            f"independent components did not settle in {options.max_iterations} steps "
            f"from any of {len(starts)} starts ({x.shape[0]} rows, k = {k})",
            hint="raise max_iterations, lower k, or check for near-Gaussian components",
        )
    modes = _modes(z, rotations[converged])
    return _assemble(x, modes, (mean, whitening, colouring), (len(starts), int((~converged).sum())))


def gaussian_contrasts(
    n: int, k: int, *, draws: int, generator: np.random.Generator, options: IcaOptions
) -> Float[np.ndarray, "draw k"]:
    """Return the contrasts of the components found in Gaussian rows, draw by draw.

    Many draws are followed at a time; one that does not settle is left out.
    """
    found: list[np.ndarray] = []
    width = max(1, VALUES_AT_A_TIME // (n * k * options.restarts))
    for first in range(0, draws, width):
        rows, starts = [], []
        for _ in range(min(width, draws - first)):
            rows.append(generator.standard_normal((n, k)))
            starts.append(_starts(k, options.restarts, generator))
        found += _contrasts(rows, np.concatenate(starts), generator, options)
    return np.array(found).reshape(-1, k)


def _contrasts(
    rows: list[np.ndarray],
    starts: Float[np.ndarray, "r k k"],
    generator: np.random.Generator,
    options: IcaOptions,
) -> list[np.ndarray]:
    k, each = starts.shape[-1], len(starts) // len(rows)
    white = [whitening @ (x - mean).T for x in rows for mean, whitening, _ in [whiten(x, k)]]
    z = np.repeat(white, each, axis=0)
    rotations, converged = _iterate(z, starts, options)
    contrasts = negentropy(rotations @ z).reshape(len(rows), each, k)
    totals = np.where(converged.reshape(len(rows), each), contrasts.sum(axis=-1), -np.inf)
    best = totals.argmax(axis=1)
    found = []
    for x, own, total, choice in zip(rows, contrasts, totals, best, strict=True):
        if np.isfinite(total[choice]):
            found.append(own[choice])
        else:
            with suppress(FitError):
                found.append(fit_ica(x, k, generator=generator, options=options).contrasts)
    return found


def whiten(
    x: Float[np.ndarray, "n d"], k: int, basis: Float[np.ndarray, "d k"] | None = None
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "k d"], Float[np.ndarray, "d k"]]:
    """Return the mean, the map to k uncorrelated unit-variance coordinates, and its inverse.

    The coordinates span `basis`, or the leading principal directions of the rows.
    """
    refuse_missing(x)
    n, d = x.shape
    if n <= d or k > d:
        raise TooLittleData(
            f"{n} rows of {d} scores cannot give {k} components; more rows than columns are needed",
            hint="merge small domains, select fewer columns or lower k",
        )
    mean = x.mean(axis=0)
    axes = np.eye(d) if basis is None else basis
    _, singular, right = np.linalg.svd((x - mean) @ axes, full_matrices=False)
    right = right @ axes.T
    if singular[k - 1] <= 1e-10 * max(singular[0], 1e-300):
        rank = int((singular > 1e-10 * max(singular[0], 1e-300)).sum())
        raise TooLittleData(
            f"the scores vary in {rank} independent directions; k = {k} components were asked for",
            hint="lower k, or remove constant and duplicated columns",
        )
    scale = singular[:k] / np.sqrt(n)
    return mean, right[:k] / scale[:, None], right[:k].T * scale


def refuse_missing(x: Float[np.ndarray, "n d"]) -> None:
    """Stop at missing scores.

    Raises:
        NotFinite: a cell is NaN or infinite.
    """
    if not np.isfinite(x).all():
        raise NotFinite(
            f"{int((~np.isfinite(x)).sum())} of {x.size} scores are missing or infinite",
            hint="drop the rows or columns with missing scores first",
        )


def negentropy(y: Float[np.ndarray, "*batch k n"]) -> Float[np.ndarray, "*batch k"]:
    """Distance of E[log cosh y] from its value under a standard normal, per component."""
    distance: NDArray[np.float64] = np.abs(_log_cosh(y).mean(axis=-1) - GAUSSIAN_LOG_COSH)
    return distance


def _log_cosh(y: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    size = np.abs(y)
    # log cosh without overflow for large |y|
    value: NDArray[np.float64] = size + np.log1p(np.exp(-2.0 * size)) - np.log(2.0)
    return value


def _starts(k: int, count: int, generator: np.random.Generator) -> Float[np.ndarray, "r k k"]:
    # A first start at the principal axes makes one restart deterministic.
    random = _orthogonal(generator.standard_normal((max(count - 1, 0), k, k)))
    return np.concatenate([np.eye(k)[None], random])


def _orthogonal(w: NDArray[np.float64]) -> NDArray[np.float64]:
    left, _, right = np.linalg.svd(w)
    rotation: NDArray[np.float64] = left @ right
    return rotation


def _iterate(
    z: Float[np.ndarray, "*r k n"], starts: Float[np.ndarray, "r k k"], options: IcaOptions
) -> tuple[Float[np.ndarray, "r k k"], "np.ndarray"]:
    """Follow every start to its fixed point; `z` is one for all starts, or one for each."""
    rotations = starts.copy()
    active = np.arange(len(starts))
    converged = np.zeros(len(starts), dtype=bool)
    for step in range(options.max_iterations):
        w = rotations[active]
        t = np.tanh(w @ z)
        slope = 1.0 - np.einsum("rkn,rkn->rk", t, t) / z.shape[-1]
        new = _orthogonal(t @ z.swapaxes(-1, -2) / z.shape[-1] - slope[..., None] * w)
        signs = np.sign(np.einsum("rij,rij->ri", new, w))
        new = new * np.where(signs == 0, 1.0, signs)[..., None]
        if step >= DAMPING_STARTS:
            new = _orthogonal(new + w)
        rotations[active] = new
        settled = np.abs(new - w).max(axis=(1, 2)) < options.tolerance
        if settled.any():
            converged[active[settled]] = True
            active = active[~settled]
            z = z[~settled] if z.ndim > 2 else z
        if not len(active):
            break
    return rotations, converged


def _modes(
    z: Float[np.ndarray, "k n"], rotations: Float[np.ndarray, "r k k"]
) -> tuple[IcaMode, ...]:
    contrasts = negentropy(rotations @ z).sum(axis=-1)
    kept: list[tuple[np.ndarray, float, int]] = []
    for index in np.argsort(-contrasts, kind="stable"):
        for place, (rotation, contrast, hits) in enumerate(kept):
            if np.abs(rotation @ rotations[index].T).max(axis=1).min() > SAME_MODE:
                kept[place] = (rotation, contrast, hits + 1)
                break
        else:
            kept.append((rotations[index], float(contrasts[index]), 1))
    return tuple(IcaMode(rotation=r, contrast=c, hits=h) for r, c, h in kept)


def _assemble(
    x: Float[np.ndarray, "n d"],
    modes: tuple[IcaMode, ...],
    maps: tuple[np.ndarray, np.ndarray, np.ndarray],
    counts: tuple[int, int],
) -> IcaFit:
    mean, whitening, colouring = maps
    rotation = modes[0].rotation
    y = rotation @ whitening @ (x - mean).T
    # Whitening divides by n; the published rescaling uses the sample variance (n - 1).
    shrink = np.sqrt((len(x) - 1) / len(x))
    return IcaFit(
        mean=mean,
        unmixing=shrink * rotation @ whitening,
        mixing=colouring @ rotation.T / shrink,
        whitening=shrink * whitening,
        contrasts=negentropy(y),
        kurtosis=(y**4).mean(axis=1) - 3.0,
        modes=modes,
        restarts=counts[0],
        unconverged=counts[1],
    )
