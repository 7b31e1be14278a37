"""Low-rank maps from the states of a layer to the vectors of a codec."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_GRID = torch.logspace(-4, 2, 13)


@dataclass(frozen=True, kw_only=True, eq=False)
class LowRankMap:
    """The affine map y = mean_y + (unit(x) − mean_x)·down·up; unit(x) has length 1.

    `ridge` is the penalty that leaving one out chose, as a multiple of the mean variance, and
    `error` the mean squared error of examples that the others predict, before the rank is cut.
    """

    mean_x: Float[Tensor, " d_model"]
    mean_y: Float[Tensor, " d_out"]
    down: Float[Tensor, "d_model rank"]
    up: Float[Tensor, "rank d_out"]
    ridge: float
    error: float

    def __call__(self, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_out"]:
        """Map states to vectors."""
        x = torch.nn.functional.normalize(h.double(), dim=-1)
        return (self.mean_y + (x - self.mean_x) @ self.down @ self.up).float()


def fit_low_rank(
    h: Float[Tensor, "n d_model"], target: Float[Tensor, "n d_out"], rank: int
) -> LowRankMap:
    """Fit by ridge regression, then keep the `rank` directions that explain most of what it fits.

    The penalty with the least squared leave-one-out error is taken. Works in the space of the n
    examples, so there may be fewer of them than dimensions.

    Source: reduced-rank regression, Izenman 1975; leave-one-out of ridge by the hat matrix.
    """
    x = torch.nn.functional.normalize(h.double(), dim=-1)
    y = target.double()
    mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
    x, y = x - mean_x, y - mean_y
    values, vectors = torch.linalg.eigh(x @ x.T)
    values = values.clamp(min=0)
    turned = vectors.T @ y
    unit = float(values.mean().clamp(min=1e-12))
    errors = {float(k): _left_out(values, vectors, y, float(k) * unit) for k in _GRID}
    ridge = min(errors, key=lambda k: errors[k])
    weights = x.T @ (vectors @ (turned / (values + ridge * unit)[:, None]))
    _, _, axes = torch.linalg.svd(x @ weights, full_matrices=False)
    up = axes[: min(rank, len(axes))]
    return LowRankMap(
        mean_x=mean_x,
        mean_y=mean_y,
        down=weights @ up.T,
        up=up,
        ridge=ridge,
        error=errors[ridge],
    )


def _left_out(
    values: Float[Tensor, " n"],
    vectors: Float[Tensor, "n n"],
    y: Float[Tensor, "n d_out"],
    penalty: float,
) -> float:
    """Return the mean squared error of each example when the others predict it."""
    shrunk = values / (values + penalty)
    fitted = vectors @ (shrunk[:, None] * (vectors.T @ y))
    # The mean is fitted too: 1/n of each example is its own doing.
    own = vectors.square() @ shrunk + 1 / len(y)
    return float(((y - fitted) / (1 - own).clamp(min=1e-6)[:, None]).square().mean())
