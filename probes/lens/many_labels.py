"""Logistic regressions of many labellings of the same vectors, minimised side by side.

Shuffled labels leave the classes nearly even at every example, so that the curvature is nearly
that of even odds, which is the same for all labellings and is factorised once. Newton steps are
solved by conjugate gradients with that curvature as preconditioner: a few products of matrices
for all labellings together.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, qr

_STEPS, _INNER, _HALVINGS = 40, 60, 30
_GRADIENT = 1e-8
# Armijo's share of the slope, and how exactly a Newton step is solved at most.
_DECREASE, _FORCING = 1e-4, 0.1
_ROUNDING = 1e-12

Array = NDArray[np.float64]
Each = Float[np.ndarray, "features labels rows"]
Labels = Int[np.ndarray, "labels n"]


def logistic_each(
    x: Float[np.ndarray, "n d_model"], which: Labels, n_class: int, strength: float
) -> tuple[
    Float[np.ndarray, "labels rows d_model"], Float[np.ndarray, "labels rows"], NDArray[np.bool_]
]:
    """Return weights, biases and whether each labelling reached its minimum.

    Minimises the mean log-loss + λ/2·‖W‖² as `logistic` does; two classes share one row, the
    log-odds of the second. The vectors have mean zero in every feature.

    Source: Böhning 1992, Annals of the Institute of Statistical Mathematics 44, 197–200, for the
    curvature at even odds, which bounds that at any others.
    """
    if x.shape[1] > len(x):  # the weights are sums of the vectors
        basis, coordinates = qr(x.T, mode="economic")
        weights, *rest = logistic_each(coordinates.T, which, n_class, strength)
        return weights @ basis.T, *rest
    loss = _Losses.of(x, which, n_class, strength)
    at = np.zeros((x.shape[1] + 1, len(which), loss.hot.shape[2]))
    value, slope, odds = loss.at(at)
    for _ in range(_STEPS):
        if np.abs(slope).max() <= _GRADIENT:
            break
        step = _newton(loss, slope, odds)
        at, value, slope, odds = _moved(loss, at, step, value, slope)
    reached = np.abs(slope).max(axis=(0, 2)) <= _GRADIENT
    return at[:-1].transpose(1, 2, 0), at[-1], reached


@dataclass(frozen=True, kw_only=True, eq=False)
class _Losses:
    """The penalised losses of all labellings, their slopes and their curvature."""

    x: Float[np.ndarray, "n features"]
    hot: Float[np.ndarray, "n labels rows"]
    penalty: Float[np.ndarray, "features 1 1"]
    factors: tuple[Array, bool]

    @classmethod
    def of(cls, x: Array, which: Labels, n_class: int, strength: float) -> "_Losses":
        rows = 1 if n_class == 2 else n_class
        hot = np.eye(n_class)[which.T] if rows > 1 else which.T.astype(np.float64)[..., None]
        both = np.hstack([x, np.ones((len(x), 1))])
        penalty = np.full(both.shape[1], strength)
        penalty[-1] = 0.0
        even = both.T @ both * ((0.25 if rows == 1 else 0.5) / len(x))
        factors = cho_factor(even + np.diag(penalty), lower=True)
        return cls(x=both, hot=hot, penalty=penalty[:, None, None], factors=factors)

    def at(self, w: Each) -> tuple[Array, Each, Array]:
        """Return the loss of each labelling, its slope, and the class chances."""
        score = self._times(w)
        total, chance = _normalised(score)
        loss = (total - (score * self.hot).sum(axis=2)).mean(axis=0)
        value = loss + (self.penalty * w**2).sum(axis=(0, 2)) / 2
        return value, self._back(chance - self.hot) + self.penalty * w, chance

    def curved(self, v: Each, chance: Array) -> Each:
        """Return the curvature times v."""
        score = self._times(v)
        if score.shape[2] == 1:
            bent = chance * (1 - chance) * score
        else:
            bent = chance * (score - (chance * score).sum(axis=2, keepdims=True))
        return np.asarray(self._back(bent) + self.penalty * v)

    def evened(self, v: Each) -> Each:
        """Return v divided by the curvature at even odds."""
        return np.asarray(cho_solve(self.factors, v.reshape(len(v), -1)).reshape(v.shape))

    def _times(self, w: Each) -> Array:
        found: Array = self.x @ w.reshape(len(w), -1)
        return found.reshape(len(self.x), *w.shape[1:])

    def _back(self, of_rows: Array) -> Each:
        flat = of_rows.reshape(len(of_rows), -1)
        return (self.x.T @ flat).reshape(-1, *of_rows.shape[1:]) / len(self.x)


def _newton(loss: _Losses, slope: Each, chance: Array) -> Each:
    """Solve curvature × step = −slope for all labellings by preconditioned conjugate gradients."""
    step = np.zeros_like(slope)
    left = -slope
    towards = ahead = loss.evened(left)
    size = _dot(left, towards)
    steep = np.abs(slope).max(axis=(0, 2))
    # What has arrived stays: a step made of rounding may be long where there is no curvature.
    wanted = np.where(steep > _GRADIENT, size * np.minimum(_FORCING, np.sqrt(steep)) ** 2, np.inf)
    for _ in range(_INNER):
        open_ = size > wanted
        if not open_.any():
            break
        bent = loss.curved(ahead, chance)
        length = np.where(open_, size / np.where(open_, _dot(ahead, bent), 1.0), 0.0)
        step = step + length[:, None] * ahead
        left = left - length[:, None] * bent
        towards = loss.evened(left)
        before, size = size, np.where(open_, _dot(left, towards), size)
        turn = np.where(open_, size / np.where(open_, before, 1.0), 0.0)
        ahead = towards + turn[:, None] * ahead
    return step


def _moved(
    loss: _Losses, at: Each, step: Each, value: Array, slope: Each
) -> tuple[Each, Array, Each, Array]:
    """Take the step, halved for each labelling until its loss falls enough."""
    length = np.ones(at.shape[1])
    expected = _DECREASE * _dot(slope, step)
    for _ in range(_HALVINGS):
        new = at + length[:, None] * step
        found, new_slope, chance = loss.at(new)
        short = found > value + length * expected + _ROUNDING * np.abs(value)
        if not short.any():
            break
        length = np.where(short, length / 2, length)
    return new, found, new_slope, chance


def _dot(a: Each, b: Each) -> Float[np.ndarray, " labels"]:
    return np.asarray((a * b).sum(axis=(0, 2)))


def _normalised(score: Float[np.ndarray, "n labels rows"]) -> tuple[Array, Array]:
    """Return ln Σ e^score over classes and the class chances; one row means two classes."""
    if score.shape[2] == 1:
        small = np.exp(-np.abs(score))
        total = np.maximum(score, 0.0) + np.log1p(small)
        return total[..., 0], np.where(score >= 0, 1.0, small) / (1 + small)
    top = score.max(axis=2, keepdims=True)
    raised = np.exp(score - top)
    sums = raised.sum(axis=2, keepdims=True)
    return (top + np.log(sums))[..., 0], raised / sums
