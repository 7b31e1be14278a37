"""Risk of a least-squares head against its number of features: simulated, and in closed form."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray


def exact_risk(p: int, n: int, *, noise: float, signal: float) -> float:
    """Return the mean excess risk of the minimum-norm fit of p isotropic features to n examples.

    σ²·p/(n − p − 1) below n, r²(1 − n/p) + σ²·n/(p − n − 1) above; infinite within one of n,
    where the mean does not exist. For γ = p/n and many examples these are σ²γ/(1 − γ) and
    r²(1 − 1/γ) + σ²/(γ − 1).

    Source: the mean of the inverse Wishart distribution; Hastie et al. 2022, arXiv:1903.08560.
    """
    if abs(p - n) <= 1:
        return float("inf")
    if p < n:
        return noise**2 * p / (n - p - 1)
    return signal**2 * (1 - n / p) + noise**2 * n / (p - n - 1)


def limit_risk(ratio: float, *, noise: float, signal: float) -> float:
    """Return the same for many examples and γ = p/n; infinite at γ = 1."""
    if ratio == 1:
        return float("inf")
    if ratio < 1:
        return noise**2 * ratio / (1 - ratio)
    return signal**2 * (1 - 1 / ratio) + noise**2 / (ratio - 1)


def simulated_risk(
    p: int, n: int, *, noise: float, signal: float, penalty: float, generator: np.random.Generator
) -> float:
    """Fit one draw of isotropic Gaussian features and return ‖β̂ − β‖², the excess risk.

    `penalty` times n is added to the Gram matrix; 0 gives the minimum-norm fit.
    """
    beta = generator.standard_normal(p)
    beta *= signal / np.linalg.norm(beta)
    x = generator.standard_normal((n, p))
    y = x @ beta + noise * generator.standard_normal(n)
    return float(((head(x, y[:, None], penalty)[:, 0] - beta) ** 2).sum())


def head(
    x: Float[np.ndarray, "n p"], y: Float[np.ndarray, "n k"], penalty: float
) -> Float[np.ndarray, "p k"]:
    """Return the weights of a head without a bias: ridge, or minimum norm where the penalty is 0.

    Solved in the smaller of the spaces of features and examples.
    """
    n, p = x.shape
    if not penalty:
        found: NDArray[np.float64] = np.linalg.lstsq(x, y, rcond=None)[0]
        return found
    if p <= n:
        return np.asarray(np.linalg.solve(x.T @ x + penalty * n * np.eye(p), x.T @ y))
    return np.asarray(x.T @ np.linalg.solve(x @ x.T + penalty * n * np.eye(n), y))
