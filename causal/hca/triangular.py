"""One shared map to capabilities and one triangular matrix per domain, for aligned components."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import FitError

TINY = 1e-300


@dataclass(frozen=True, kw_only=True)
class TriangularFit:
    """The fit for one alignment, in the canonical gauge: the rows of `h` are orthonormal.

    `aligned` holds the unmixing matrices with rows in causal order and signs that make the
    diagonals of `b` positive. `inexactness` is the mixing inexactness coefficient of each
    domain, unitless, 0 (the noises stay unmixed) to 1; `rows` splits it by row.
    """

    h: Float[np.ndarray, "k d"]
    b: Float[np.ndarray, "domain k k"]
    aligned: Float[np.ndarray, "domain k d"]
    rows: Float[np.ndarray, "domain k"]

    @property
    def inexactness(self) -> Float[np.ndarray, " domain"]:
        """Return the mixing inexactness coefficient of each domain."""
        mean: NDArray[np.float64] = self.rows.mean(axis=1)
        return mean

    @property
    def score(self) -> float:
        """Return the largest inexactness of any domain."""
        return float(self.inexactness.max())


def shared_row(residual: Float[np.ndarray, "*batch domain d"]) -> Float[np.ndarray, "*batch d"]:
    """Return the unit vector closest to all residual rows, the zero vector where all vanish.

    It is the top right singular vector. The domain-by-domain Gram matrix is the smaller one and
    its leading eigenvector is exact when the rows are parallel.
    """
    gram = residual @ np.swapaxes(residual, -1, -2)
    _, vectors = np.linalg.eigh(gram)
    row: NDArray[np.float64] = np.einsum("...e,...ed->...d", vectors[..., -1], residual)
    size = np.linalg.norm(row, axis=-1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(row, size, out=np.zeros_like(row), where=size > TINY)
    return unit


def off(
    rows: Float[np.ndarray, "*batch domain d"], h: Float[np.ndarray, "*batch i d"]
) -> Float[np.ndarray, "*batch domain d"]:
    """Remove from every row its part in the span of the orthonormal rows `h`."""
    rest: NDArray[np.float64] = rows - (rows @ np.swapaxes(h, -1, -2)) @ h
    return rest


def row_inexactness(
    j: Float[np.ndarray, "*batch k"], own: Float[np.ndarray, "*batch"]
) -> Float[np.ndarray, "*batch"]:
    """Return 1 − own² / Σ j², and 1 where the row is zero."""
    total = np.einsum("...k,...k->...", j, j)
    share = np.divide(own**2, total, out=np.zeros_like(total), where=total > TINY)
    spilled: NDArray[np.float64] = 1.0 - share
    return spilled


def fit_triangular(
    unmixing: Float[np.ndarray, "domain k d"], permutations: "np.ndarray"
) -> TriangularFit:
    """Fit the shared map and the triangular matrices for one alignment.

    Row i of domain e takes component `permutations[e, i]`; source first. The triangular matrix
    is the lower triangle of M Hᵀ in closed form.

    Raises:
        FitError: a component vanishes once earlier capabilities are removed.

    Source: Jin, Syrgkanis, Kakade & Zhang 2025, arXiv:2506.10378, algorithm 1. The closed form
    replaces their numerical optimiser and gives the same values.
    """
    aligned = np.take_along_axis(unmixing, permutations[..., None], axis=1)
    k, d = aligned.shape[1:]
    h = np.zeros((0, d))
    for i in range(k):
        row = shared_row(off(aligned[:, i], h))
        if not row.any():
            raise FitError(
                f"capability {i + 1} of {k} vanishes once the earlier ones are removed",
                hint="lower k: the domains span fewer directions than asked for",
            )
        # A fixed sign keeps the map from flipping between runs: largest weight positive.
        row = row * np.sign(row[np.abs(row).argmax()])
        h = np.concatenate([h, row[None]])
    b = np.tril(aligned @ h.T)
    signs = np.where(np.diagonal(b, axis1=1, axis2=2) < 0, -1.0, 1.0)
    aligned, b = aligned * signs[..., None], b * signs[..., None]
    j = b @ h @ np.linalg.pinv(aligned)
    rows = row_inexactness(j, np.diagonal(j, axis1=1, axis2=2))
    return TriangularFit(h=h, b=b, aligned=aligned, rows=rows)


def direct_effects(b: Float[np.ndarray, "*batch k k"]) -> Float[np.ndarray, "*batch k k"]:
    """Return A with entry [i, j] the effect of capability j on capability i: I − diag(B)⁻¹B."""
    diagonal = np.diagonal(b, axis1=-2, axis2=-1)[..., None]
    effects: NDArray[np.float64] = np.eye(b.shape[-1]) - b / diagonal
    return effects


def noise_scales(b: Float[np.ndarray, "*batch k k"]) -> Float[np.ndarray, "*batch k"]:
    """Return the size of each capability's own noise, in the units of the capability."""
    scales: NDArray[np.float64] = 1.0 / np.diagonal(b, axis1=-2, axis2=-1)
    return scales
