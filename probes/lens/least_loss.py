"""Penalised linear fits by direct minimisation, quick enough to be repeated for every shuffle."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.linalg import lu_factor, lu_solve
from scipy.optimize import minimize

from workbench.errors import FitError

_MAX_ITERATIONS = 2000
_GRADIENT = 1e-6
_GOOD_ENOUGH = 1e-4

Vectors = Float[np.ndarray, "n d_model"]
Array = NDArray[np.float64]


def ridge(x: Vectors, y: Float[np.ndarray, " n"], strength: float) -> tuple[Array, float]:
    """Return weights and bias of half the mean squared error + λ/2·‖w‖², in closed form."""
    return Ridge(x, strength).fit(y)


class Ridge:
    """Ridge regressions on the same vectors: what does not depend on the labels is done once.

    Solved in the smaller of the two spaces, that of the features or that of the examples.
    """

    def __init__(self, x: Vectors, strength: float) -> None:
        """Factorise the products of the vectors, with λ per example on their diagonal."""
        n, width = x.shape
        self._mean = x.mean(axis=0)
        self._z = x - self._mean
        self._is_narrow = width <= n
        products = self._z.T @ self._z if self._is_narrow else self._z @ self._z.T
        self._factors = lu_factor(products + strength * n * np.eye(len(products)))

    def fit(self, y: Float[np.ndarray, " n"]) -> tuple[Array, float]:
        """Return weights and bias for those labels."""
        weights, biases = self.fit_each(y[:, None])
        return weights[:, 0], float(biases[0])

    def fit_each(self, y: Float[np.ndarray, "n labels"]) -> tuple[Array, Array]:
        """Return weights and biases for those labels, one column per labelling."""
        level = y.mean(axis=0)
        target = y - level
        if self._is_narrow:
            weights = lu_solve(self._factors, self._z.T @ target)
        else:
            weights = self._z.T @ lu_solve(self._factors, target)
        return weights, level - self._mean @ weights


def logistic(
    x: Vectors, which: Int[np.ndarray, " n"], n_class: int, strength: float
) -> tuple[Array, Array]:
    """Return weights and biases of the mean log-loss + λ/2·‖W‖², one row per class.

    Two classes share one row, the log-odds of the second; biases carry no penalty.

    Raises:
        FitError: L-BFGS did not reach a minimum.
    """
    loss = _LogLoss(x, which, n_class, strength)
    found = minimize(
        loss,
        np.zeros(loss.shape[0] * loss.shape[1]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS, "gtol": _GRADIENT, "ftol": 1e-15, "maxcor": 20},
    )
    if not np.isfinite(found.fun) or np.abs(found.jac).max() > _GOOD_ENOUGH:
        raise FitError(
            f"logistic regression did not converge in {found.nit} iterations at regularisation "
            f"{strength:g}",
            hint="raise --regularisation",
        )
    both = found.x.reshape(loss.shape)
    return both[:, :-1], both[:, -1]


class _LogLoss:
    """The penalised loss and its gradient at weights and biases laid out flat."""

    def __init__(
        self, x: Vectors, which: Int[np.ndarray, " n"], n_class: int, strength: float
    ) -> None:
        rows = 1 if n_class == 2 else n_class
        self.x, self.strength = x, strength
        self.hot = np.eye(n_class)[which] if rows > 1 else which.astype(np.float64)[:, None]
        self.shape = (rows, x.shape[1] + 1)

    def __call__(self, flat: Array) -> tuple[float, Array]:
        both = flat.reshape(self.shape)
        weight = both[:, :-1]
        score = self.x @ weight.T + both[:, -1]
        total, chance = _normalised(score)
        wrong = (chance - self.hot) / len(self.x)
        slope = np.hstack([wrong.T @ self.x + self.strength * weight, wrong.sum(axis=0)[:, None]])
        loss = (total - (score * self.hot).sum(axis=1)).mean()
        return float(loss + self.strength / 2 * (weight**2).sum()), slope.ravel()


def _normalised(score: Array) -> tuple[Array, Array]:
    """Return ln Σ e^score over classes and the class chances; one column means two classes."""
    if score.shape[1] == 1:
        total = np.logaddexp(0.0, score[:, 0])
        return total, np.exp(score - total[:, None])
    # The same as scipy's logsumexp, whose checks cost more than the sum does at these sizes.
    top = score.max(axis=1)
    total = top + np.log(np.exp(score - top[:, None]).sum(axis=1))
    return total, np.exp(score - total[:, None])
