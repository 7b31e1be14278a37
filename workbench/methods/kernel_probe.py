"""Linear and quadratic probes in closed form, quick enough for every fold, layer and shuffle."""

from typing import Literal

import numpy as np
from jaxtyping import Float

Shape = Literal["linear", "quadratic"]
SHAPES: tuple[Shape, ...] = ("linear", "quadratic")


def held_out_scores(
    train: Float[np.ndarray, "n d_model"],
    y: Float[np.ndarray, "n k"],
    test: Float[np.ndarray, "m d_model"],
    *,
    shape: Shape = "linear",
    penalty: float = 1.0,
) -> Float[np.ndarray, "m k"]:
    """Return what a ridge fit of every column of y to the training states gives for the others.

    Features are standardised. The kernel x·y/d, or (1 + x·y/d)² for all products of two features
    as well, is centred and scaled to a mean of 1 on its diagonal; `penalty` is added there, which
    for the linear one is the ridge penalty of width over examples that the probe `linear` takes.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    a, b = ((x.astype(np.float64) - mean) / spread for x in (train, test))
    inner, outer = _kernel(a, a, shape), _kernel(b, a, shape)
    rows, whole = inner.mean(axis=0), inner.mean()
    outer = outer - outer.mean(axis=1, keepdims=True) - rows + whole
    inner = inner - rows - rows[:, None] + whole
    size = max(float(np.trace(inner)) / len(inner), 1e-12)
    level = y.mean(axis=0)
    system = inner / size + penalty * np.eye(len(inner))
    return np.asarray(outer / size @ np.linalg.solve(system, y - level) + level)


def _kernel(
    a: Float[np.ndarray, "n d_model"], b: Float[np.ndarray, "m d_model"], shape: Shape
) -> Float[np.ndarray, "n m"]:
    product = a @ b.T / a.shape[1]
    return np.asarray(product if shape == "linear" else (1 + product) ** 2)
