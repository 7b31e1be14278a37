"""A closed-form first guess of the translators: reduced-rank regression on directions.

The final norm discards the length of a state, so only directions need to agree. With x = h/‖h‖
and y the final state over its length, the map h + h·U·V + b is fitted by least squares of
c·y − x on x (and on s/‖h‖, which carries the bias), then cut to the asked-for rank where the
fitted values lose least. A larger c lets the fitted part outweigh what is left of h.

Source: Izenman 1975 for the reduced rank; the use as a start for a tuned lens is ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probes.lens.translator import Translators

_RIDGE = 1e-3
GAINS = (1.0, 3.0)


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums of products of normalised states, per layer, in float64.

    Memory: two squares of the width per layer, 16 bytes per entry in all.
    """

    gram: Float[Tensor, "layer wide wide"]
    cross: Float[Tensor, "layer wide d_model"]
    scale: Float[Tensor, " layer"]

    @classmethod
    def empty(cls, scale: Float[Tensor, " layer"], d_model: int) -> "Moments":
        """Start from no states; `scale` is the typical length of each layer's states."""
        layers, wide = len(scale), d_model + 1
        return cls(
            torch.zeros(layers, wide, wide, dtype=torch.float64),
            torch.zeros(layers, wide, d_model, dtype=torch.float64),
            scale.double().cpu(),
        )

    def add(
        self, states: Sequence[Float[Tensor, "n d_model"]], final: Float[Tensor, "n d_model"]
    ) -> None:
        """Count the states of one text, one tensor per layer."""
        y = _unit(final.cpu().double())
        for layer, h in enumerate(states):
            z = self._regressors(layer, h.cpu().double())
            self.gram[layer] += z.T @ z
            self.cross[layer] += z.T @ y

    def solve(self, layer: int, *, rank: int, gain: float) -> dict[str, Tensor]:
        """Return `down`, `up` and `bias` of one layer; rank 0 is full, and has no `up`."""
        gram, cross = self.gram[layer], self.cross[layer]
        wide, width = cross.shape
        eye = torch.eye(wide, dtype=torch.float64)
        ridge = gram + _RIDGE * gram.diagonal().mean() * eye
        weight = torch.linalg.solve(ridge, gain * cross - gram[:, :width])
        moved, bias = weight[:width], (weight[width] * self.scale[layer]).float()
        if not rank:
            return {"down": moved.float(), "bias": bias}
        # The directions in which the fitted values vary most; eigenvalues come ascending.
        _, vectors = torch.linalg.eigh(moved.T @ gram[:width, :width] @ moved)
        best = vectors[:, -rank:]
        return {"down": (moved @ best).float(), "up": best.T.float(), "bias": bias}

    def _regressors(self, layer: int, h: Float[Tensor, "n d_model"]) -> Float[Tensor, "n wide"]:
        length = h.norm(dim=-1, keepdim=True)
        return torch.cat([h / length, self.scale[layer] / length], dim=-1)


def first_guess(
    moments: Moments, start: Translators, *, loss: Callable[[int, Translators], float]
) -> Translators:
    """Choose each layer's gain, or no map at all, by the smallest loss, and return `start` so.

    `loss(layer, translators)` judges one layer of a set of translators.
    """
    rank = 0 if start.up is None else start.up.shape[1]
    for layer in range(len(start.bias)):
        best, kept = loss(layer, start), start.at(layer)
        for gain in GAINS:
            start.put(layer, moments.solve(layer, rank=rank, gain=gain))
            now = loss(layer, start)
            if now < best:
                best, kept = now, start.at(layer)
        start.put(layer, kept)
    return start


def _unit(x: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
    unit: Tensor = x / x.norm(dim=-1, keepdim=True)
    return unit
