"""Three ways to learn a reward from outcomes that known confounders moved as well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import BadRows
from workbench.methods.contracts import Example
from workbench.methods.eraser import one_hot

Array = NDArray[np.float64]
ESTIMATORS = ("naive", "outcome only", "joint")


@dataclass(frozen=True, kw_only=True, eq=False)
class Reward:
    """A linear reward x·weights, and what the confounders were found to add to the outcome."""

    weights: Float[np.ndarray, " d_model"]
    confounded: Float[np.ndarray, " k"]


def fit_rewards(
    x: Float[np.ndarray, "n d_model"],
    y: Float[np.ndarray, " n"],
    c: Float[np.ndarray, "n k"],
    fold: NDArray[np.integer],
    *,
    penalty: float = 0.0,
) -> dict[str, Reward]:
    """Fit outcomes to features: as they are, less E[y|c], and jointly with a part of c.

    What c predicts is learned on other folds than those it is taken from. For standard x and c of
    correlation ρ and y = θx + γc + noise the slopes tend to θ + γρ, θ(1 − ρ²) and θ: taking
    E[y|c] from the outcome alone takes with it what c shares with x. `penalty` is that of a ridge
    fit to the sum of squares over standardised features.

    Source: DeconfoundLM, arXiv:2506.00152, as residuals of the outcome; the joint fit is Robinson
    1988 with cross-fitting, Chernozhukov et al. 2018.
    """
    x0, y0 = x - x.mean(axis=0), y - y.mean()
    y1 = y0 - predicted(c, y0[:, None], fold)[:, 0]
    x1 = x0 - predicted(c, x0, fold)
    weights = {
        "naive": _ridge(x0, y0, penalty),
        "outcome only": _ridge(x0, y1, penalty),
        "joint": _ridge(x1, y1, penalty),
    }
    return {
        name: Reward(weights=w, confounded=_least(c, y0 - x0 @ w)) for name, w in weights.items()
    }


def predicted(
    c: Float[np.ndarray, "n k"], of: Float[np.ndarray, "n m"], fold: NDArray[np.integer]
) -> Float[np.ndarray, "n m"]:
    """Return what c predicts, each fold from all others by least squares with a constant."""
    found = np.zeros(of.shape)
    for part in np.unique(fold):
        rest = fold != part
        mean = c[rest].mean(axis=0)
        slope = np.linalg.lstsq(c[rest] - mean, of[rest] - of[rest].mean(axis=0), rcond=None)[0]
        found[~rest] = (c[~rest] - mean) @ slope + of[rest].mean(axis=0)
    return found


def design(
    examples: Sequence[Example], names: Sequence[str], *, degree: int
) -> Float[np.ndarray, "n k"]:
    """Return confounders as columns: powers of standardised numbers, other values one-hot.

    Raises:
        BadRows: a row lacks a field; all at once.
    """
    missing = [name for name in names if any(e.fields.get(name) is None for e in examples)]
    if missing:
        raise BadRows(
            f"some rows have no {', '.join(map(repr, missing))}", hint="name fields of all rows"
        )
    columns = [_columns([e.fields[name] for e in examples], degree) for name in names]
    return np.column_stack(columns) if columns else np.zeros((len(examples), 0))


def planted(
    theta: float, gamma: float, rho: float, n: int, generator: np.random.Generator
) -> Mapping[str, tuple[float, float]]:
    """Return, by estimator, the slope found on n drawn rows and the one it tends to."""
    c = generator.standard_normal(n)
    x = rho * c + np.sqrt(1 - rho**2) * generator.standard_normal(n)
    y = theta * x + gamma * c + generator.standard_normal(n)
    found = fit_rewards(x[:, None], y, c[:, None], np.arange(n) % 5)
    limits = (theta + gamma * rho, theta * (1 - rho**2), theta)
    return {
        name: (float(found[name].weights[0]), limit)
        for name, limit in zip(ESTIMATORS, limits, strict=True)
    }


def _columns(values: Sequence[object], degree: int) -> Array:
    try:
        number = np.array([float(str(v)) for v in values])
    except ValueError:
        words = [str(v) for v in values]
        return one_hot(words)[:, 1:]
    if not np.isfinite(number).all():
        raise BadRows("a confounder is not finite", hint="leave those rows out")
    spread = number.std() or 1.0
    return np.column_stack([((number - number.mean()) / spread) ** k for k in range(1, degree + 1)])


def _least(c: Array, y: Array) -> Array:
    return np.asarray(np.linalg.lstsq(c - c.mean(axis=0), y - y.mean(), rcond=None)[0])


def _ridge(x: Array, y: Array, penalty: float) -> Array:
    spread = x.std(axis=0)
    z = x / np.where(spread > 0, spread, 1.0)
    if not penalty:
        return np.asarray(np.linalg.lstsq(z, y, rcond=None)[0] / np.where(spread > 0, spread, 1.0))
    dual = np.linalg.solve(z @ z.T + penalty * np.eye(len(z)), y)
    return np.asarray(z.T @ dual / np.where(spread > 0, spread, 1.0))
