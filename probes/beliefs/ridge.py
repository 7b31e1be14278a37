"""Vector-valued ridge readouts whose penalty is chosen inside the training part."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

PENALTIES = (1e-6, 1e-4, 1e-2, 0.1, 1.0, 10.0)
_HELD = 4  # one sequence in so many chooses the penalty


@dataclass(frozen=True, kw_only=True, eq=False)
class VectorReadout:
    """Several linear readouts of the same states; `penalty` is the one chosen, per example."""

    weight: Float[np.ndarray, "d_model k"]
    bias: Float[np.ndarray, " k"]
    penalty: float

    def read(self, x: Float[np.ndarray, "n d_model"]) -> Float[np.ndarray, "n k"]:
        """Return the read vectors."""
        return np.asarray(x @ self.weight + self.bias)


class RidgePath:
    """The solutions for every penalty of half the mean squared error + λ/2·‖W‖², one inversion.

    States are standardised; the smaller of both Gram matrices is taken apart.
    """

    def __init__(self, x: Float[np.ndarray, "n d_model"]) -> None:
        """Take the states apart."""
        raw = x.astype(np.float64)
        self._mean, spread = raw.mean(axis=0), raw.std(axis=0)
        self._spread = np.where(spread > 0, spread, 1.0)
        self._z = (raw - self._mean) / self._spread
        self._is_primal = x.shape[1] <= len(x)
        gram = self._z.T @ self._z if self._is_primal else self._z @ self._z.T
        self._values, self._vectors = np.linalg.eigh(gram / len(x))

    def readout(self, y: Float[np.ndarray, "n k"], penalty: float) -> VectorReadout:
        """Return the readout of some targets."""
        level, n = y.mean(axis=0), len(y)
        goal = self._z.T @ (y - level) / n if self._is_primal else (y - level) / n
        scale = np.maximum(self._values, 0) + penalty
        found = self._vectors @ ((self._vectors.T @ goal) / scale[:, None])
        weight = (found if self._is_primal else self._z.T @ found) / self._spread[:, None]
        return VectorReadout(weight=weight, bias=level - self._mean @ weight, penalty=penalty)


def tuned_ridge(
    x: Float[np.ndarray, "n d_model"],
    targets: Sequence[Float[np.ndarray, "n k"]],
    owner: Int[np.ndarray, " n"],
) -> list[VectorReadout]:
    """Return a readout for each set of targets, its penalty chosen on a quarter of the owners."""
    kept = np.unique(owner)
    held = np.isin(owner, kept[::_HELD]) if len(kept) >= _HELD else np.ones(len(owner), bool)
    inner = RidgePath(x[~held] if not held.all() else x)
    whole = RidgePath(x)
    return [whole.readout(y, _chosen(inner, x, y, held)) for y in targets]


def _chosen(
    inner: RidgePath, x: NDArray[np.floating], y: NDArray[np.float64], held: NDArray[np.bool_]
) -> float:
    fitted = y if held.all() else y[~held]
    losses = [
        float(((inner.readout(fitted, penalty).read(x[held]) - y[held]) ** 2).sum())
        for penalty in PENALTIES
    ]
    return PENALTIES[int(np.argmin(losses))]
