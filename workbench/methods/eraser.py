"""Linear concept erasers: affine maps of low rank after which no linear probe finds a concept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import FitError, TooLittleData
from workbench.model.edits import Edit, Op
from workbench.model.sites import Site

Array = NDArray[np.float64]
_LEFT_OVER = 1e-6
_SAME = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Eraser:
    """The map r(x) = x − P(x − μ) with P = left·right.

    `left_over` is ‖Cov(r(h), z)‖/‖Cov(h, z)‖ on the states it was fitted to, controls partialled
    out of both.
    """

    left: Float[np.ndarray, "d_model rank"]
    right: Float[np.ndarray, "rank d_model"]
    mean: Float[np.ndarray, " d_model"]
    left_over: float = float("nan")

    @property
    def rank(self) -> int:
        """The number of dimensions taken away."""
        return len(self.right)

    def component(self, h: Float[np.ndarray, "n d_model"]) -> Float[np.ndarray, "n d_model"]:
        """Return P(h − μ), what erasing takes away."""
        return np.asarray((h.astype(np.float64) - self.mean) @ self.right.T @ self.left.T)

    def erase(self, h: Float[np.ndarray, "n d_model"]) -> Float[np.ndarray, "n d_model"]:
        """Return the states without the concept, in float64."""
        return np.asarray(h.astype(np.float64) - self.component(h))

    def edit(self, site: Site) -> Edit:
        """Return the eraser as an edit of a site."""
        product = self.left @ self.right
        both = np.column_stack([np.eye(len(self.mean)) - product, product @ self.mean])
        return Edit(site=site, op=Op.AFFINE, value=torch.from_numpy(both))


@dataclass(frozen=True, kw_only=True, eq=False)
class Whitening:
    """A map W with WΣWᵀ = I on the range of the covariance Σ, and its pseudo-inverse."""

    forward: Float[np.ndarray, "d_model d_model"]
    back: Float[np.ndarray, "d_model d_model"]
    mean: Float[np.ndarray, " d_model"]

    @classmethod
    def of(
        cls,
        h: Float[np.ndarray, "n d_model"],
        *,
        mean: Float[np.ndarray, " d_model"] | None = None,
        shrinkage: bool = False,
    ) -> "Whitening":
        """Fit to states in float64; features are standardised first, so that none hides others.

        With `shrinkage` the correlations are pulled towards none as Ledoit and Wolf say, which
        helps where states are few for their width.
        """
        x = h.astype(np.float64)
        centred = x - x.mean(axis=0)
        spread = centred.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        z = centred / spread
        sigma = z.T @ z / len(z)
        if shrinkage:
            from sklearn.covariance import ledoit_wolf_shrinkage

            share = float(ledoit_wolf_shrinkage(z, assume_centered=True))
            sigma = (1 - share) * sigma + share * np.diag(np.diag(sigma))
        values, vectors = np.linalg.eigh(sigma)
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        basis, root = vectors[:, kept], np.sqrt(values[kept])
        return cls(
            forward=(basis / root) @ basis.T / spread,
            back=spread[:, None] * ((basis * root) @ basis.T),
            mean=x.mean(axis=0) if mean is None else mean,
        )

    def eraser(self, basis: Float[np.ndarray, "d_model rank"]) -> Eraser:
        """Return the eraser of orthonormal directions of the whitened space."""
        return Eraser(left=self.back @ basis, right=basis.T @ self.forward, mean=self.mean)

    def random(self, rank: int, generator: np.random.Generator) -> Eraser:
        """Return the eraser of a random subspace of that rank, drawn in the whitened space."""
        drawn = self.forward @ self.back @ generator.standard_normal((len(self.mean), rank))
        return self.eraser(np.linalg.qr(drawn)[0])


def one_hot(labels: Sequence[str], classes: Sequence[str] = ()) -> Float[np.ndarray, "n n_class"]:
    """Return a column per class: one number per class would leave the concept readable."""
    known = list(classes) or sorted(set(labels))
    column = np.array(labels, dtype=object)[:, None]
    return np.asarray(column == np.array(known, dtype=object), dtype=np.float64)


def residual(
    y: Float[np.ndarray, "n k"], controls: Float[np.ndarray, "n c"] | None
) -> Float[np.ndarray, "n k"]:
    """Return y without its mean and without what a linear fit on the controls predicts."""
    y = y.astype(np.float64) - y.mean(axis=0)
    if controls is None or not controls.shape[1]:
        return np.asarray(y)
    c = controls.astype(np.float64) - controls.mean(axis=0)
    return np.asarray(y - c @ np.linalg.lstsq(c, y, rcond=None)[0])


def leace(
    h: Float[np.ndarray, "n d_model"],
    z: Float[np.ndarray, "n k"],
    controls: Float[np.ndarray, "n c"] | None = None,
    *,
    shrinkage: bool = False,
) -> Eraser:
    """Fit P = W⁺UUᵀW, U an orthonormal basis of the range of WΣ_hz; `z` is one-hot.

    With controls, states and labels are first freed of what the controls predict linearly, so
    that what goes with the controls alone is kept.

    Raises:
        TooLittleData: fewer than two states.
        FitError: covariance with the labels is left over.

    Source: Belrose et al. 2023, LEACE, arXiv:2306.03819, theorem 4.3; written in float64, and the
    controls are ours.
    """
    _check(h, z)
    free, labels = residual(h, controls), residual(z, controls)
    white = Whitening.of(free, mean=h.astype(np.float64).mean(axis=0), shrinkage=shrinkage)
    cross = free.T @ labels / len(free)
    found = white.eraser(_range(white.forward @ cross))
    left = _left_over(found, cross)
    if left >= _LEFT_OVER:
        raise FitError(
            f"{left:.1g} of the covariance with the concept is left after erasing; expected less "
            f"than {_LEFT_OVER:g}",
            hint="leave out features that are constant or huge, or turn shrinkage on",
        )
    return _with_left_over(found, left)


def inlp(
    h: Float[np.ndarray, "n d_model"],
    z: Float[np.ndarray, "n k"],
    controls: Float[np.ndarray, "n c"] | None = None,
    *,
    rounds: int = 8,
) -> Eraser:
    """Project onto the intersection of the null spaces of linear probes fitted one after another.

    Each round fits a least-squares probe to what is left. The basis of all weights together is
    projected out, which one product of the single projections would not be.

    Raises:
        TooLittleData: fewer than two states.

    Source: Ravfogel et al. 2020, arXiv:2004.07667; the probes are least squares, so no seed.
    """
    _check(h, z)
    free, labels = residual(h, controls), residual(z, controls)
    cross = free.T @ labels / len(free)
    basis = np.zeros((h.shape[1], 0))
    for _ in range(rounds):
        rest = free - free @ basis @ basis.T
        white = Whitening.of(rest)
        weights = white.forward.T @ white.forward @ (rest.T @ labels / len(rest))
        if np.linalg.norm(rest.T @ labels / len(rest)) < _LEFT_OVER * np.linalg.norm(cross):
            break
        more = _range(weights - basis @ (basis.T @ weights))
        basis = np.linalg.qr(np.column_stack([basis, more]))[0]
    mean = h.astype(np.float64).mean(axis=0)
    found = Eraser(left=basis, right=basis.T, mean=mean)
    return _with_left_over(found, _left_over(found, cross))


def shifts(
    h: Float[np.ndarray, "n d_model"],
    z: Float[np.ndarray, "n k"],
    controls: Float[np.ndarray, "n c"] | None = None,
) -> Float[np.ndarray, "k d_model"]:
    """Return Σ_zz⁺Σ_zh: h + (z′ − z)·shifts is the state with the concept's value changed to z′.

    With controls it holds the coefficients of z in the least-squares fit of h on z and controls.

    Raises:
        TooLittleData: fewer than two states.
    """
    _check(h, z)
    free, labels = residual(h, controls), residual(z, controls)
    return np.asarray(np.linalg.lstsq(labels, free, rcond=None)[0])


def _check(h: Float[np.ndarray, "n d_model"], z: Float[np.ndarray, "n k"]) -> None:
    if len(h) < 2 or len(h) != len(z):
        raise TooLittleData(
            f"{len(h)} states and {len(z)} labels; expected as many of each, at least two",
            hint="give more labelled texts",
        )


def _range(x: Float[np.ndarray, "d_model k"]) -> Float[np.ndarray, "d_model rank"]:
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    return np.asarray(u[:, s > max(s.max(initial=0.0) * _SAME, np.finfo(np.float64).tiny)])


def _left_over(found: Eraser, cross: Float[np.ndarray, "d_model k"]) -> float:
    whole = float(np.linalg.norm(cross))
    rest = cross - found.left @ (found.right @ cross)
    return float(np.linalg.norm(rest)) / whole if whole > 0 else 0.0


def _with_left_over(found: Eraser, left: float) -> Eraser:
    return Eraser(left=found.left, right=found.right, mean=found.mean, left_over=left)
