"""The one choice of units and mixing in which capabilities, effects and weights are reported.

Replacing z by T z with T lower triangular leaves the fit unchanged, so absolute effects mean
something only once T is stated. Two choices are used: *canonical* (orthonormal rows, as fitted)
and *anchored* (each capability in points of a benchmark). In both, the same T acts on the map to
capabilities and on the triangular matrices.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from causal.hca.triangular import direct_effects, noise_scales
from workbench.errors import FitError


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """Capabilities z = h x − offset, with one triangular matrix per domain."""

    h: Float[np.ndarray, "k d"]
    b: Float[np.ndarray, "domain k k"]
    offset: Float[np.ndarray, " k"]

    @property
    def effects(self) -> Float[np.ndarray, "domain k k"]:
        """Direct effects per domain, entry [cause, effect]."""
        return np.swapaxes(direct_effects(self.b), 1, 2)

    @property
    def totals(self) -> Float[np.ndarray, "domain k k"]:
        """Total effects per domain, entry [cause, effect]; ones on the diagonal."""
        eye = np.eye(self.b.shape[-1])
        return np.swapaxes(np.linalg.inv(eye - direct_effects(self.b)), 1, 2)

    @property
    def scales(self) -> Float[np.ndarray, "domain k"]:
        """Standard deviation of each capability's own noise, in the units of the capability."""
        sizes: NDArray[np.float64] = np.abs(noise_scales(self.b))
        return sizes

    @property
    def loadings(self) -> Float[np.ndarray, "d k"]:
        """Change of the scores per unit of each capability: the pseudo-inverse of `h`."""
        return np.linalg.pinv(self.h)

    @property
    def responses(self) -> Float[np.ndarray, "domain d k"]:
        """Change of the scores when one capability's noise rises by one standard deviation.

        The same in every gauge, up to the direction in which the capability counts.
        """
        signs = np.sign(np.diagonal(self.b, axis1=1, axis2=2))
        change: NDArray[np.float64] = self.loadings @ np.linalg.inv(self.b) * signs[:, None, :]
        return change

    def transform(self, t: Float[np.ndarray, "k k"], shift: Float[np.ndarray, " k"]) -> "Gauge":
        """Replace z by T z − shift."""
        return Gauge(h=t @ self.h, b=self.b @ np.linalg.inv(t), offset=t @ self.offset + shift)

    def capabilities(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Return the capabilities of every row."""
        z: NDArray[np.float64] = x @ self.h.T - self.offset
        return z


@dataclass(frozen=True, kw_only=True)
class Anchoring:
    """A gauge in benchmark points, with the evidence for every anchor.

    `r_squared[i, j]` is that of regressing capability i on benchmark j and the capabilities
    before it; `partial[i, j]` is the share of what those leave unexplained that the benchmark
    takes up, which no gauge changes. Late capabilities reach values near 1 under any order.
    """

    gauge: Gauge
    anchors: Int[np.ndarray, " k"]
    r_squared: Float[np.ndarray, "k d"]
    partial: Float[np.ndarray, "k d"]


def anchor(
    gauge: Gauge,
    x: Float[np.ndarray, "n d"],
    *,
    anchors: Int[np.ndarray, " k"] | None = None,
) -> Anchoring:
    """Express each capability in points of the benchmark that tells most about it.

    In causal order, capability i is regressed on 1, benchmark j and the capabilities before it,
    over the pooled rows; with the best j (or the given one) it becomes
    (z_i − Σ γ_l z_l − c) / β.

    Raises:
        FitError: the benchmark has no relation to the capability.

    Source: arXiv:2506.10378, section on interpretation; there the released notebook mixes two
    gauges, here the transformation acts on weights and effects alike.
    """
    z = gauge.capabilities(x)
    k, d = gauge.h.shape
    t, shift = np.zeros((k, k)), np.zeros(k)
    r_squared, partial = np.zeros((k, d)), np.zeros((k, d))
    chosen = np.zeros(k, dtype=np.int64)
    for i in range(k):
        before = np.column_stack([np.ones(len(z)), z[:, :i]])
        r_squared[i], partial[i] = _shares(z[:, i], before, x)
        chosen[i] = partial[i].argmax() if anchors is None else anchors[i]
        t[i], shift[i] = _anchored_row(z, before, x[:, chosen[i]], i)
    return Anchoring(
        gauge=gauge.transform(t, shift), anchors=chosen, r_squared=r_squared, partial=partial
    )


def _shares(
    target: Float[np.ndarray, " n"], before: Float[np.ndarray, "n p"], x: Float[np.ndarray, "n d"]
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    basis, _ = np.linalg.qr(before)
    left = target - basis @ (basis.T @ target)
    candidates = x - basis @ (basis.T @ x)
    size = np.einsum("nd,nd->d", candidates, candidates)
    usable = size > 1e-12 * np.einsum("nd,nd->d", x, x)
    partial = np.zeros(x.shape[1])
    partial[usable] = (left @ candidates[:, usable]) ** 2 / size[usable] / (left @ left)
    centred = target - target.mean()
    return 1.0 - (1.0 - partial) * (left @ left) / (centred @ centred), partial


def _anchored_row(
    z: Float[np.ndarray, "n k"], before: Float[np.ndarray, "n p"], benchmark: np.ndarray, i: int
) -> tuple[Float[np.ndarray, " k"], float]:
    design = np.column_stack([before, benchmark])
    weights, _, rank, _ = np.linalg.lstsq(design, z[:, i], rcond=None)
    slope = weights[-1]
    if rank < design.shape[1] or abs(slope) < 1e-12:
        raise FitError(
            f"capability {i + 1} cannot be expressed in points of the benchmark asked for",
            hint="choose another anchor, or let the fit choose",
        )
    row = np.zeros(z.shape[1])
    row[:i] = -weights[1 : 1 + i] / slope
    row[i] = 1.0 / slope
    return row, float(weights[0] / slope)
