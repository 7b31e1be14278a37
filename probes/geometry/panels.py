"""Symmetric matrices kept as panels on and below the diagonal."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

_PANELS, _WIDE = 4, 256


class Panels:
    """The layout of a symmetric d × d matrix as one flat vector, for many matrices at once.

    Panel j of a wide matrix holds the columns of the j-th quarter from the diagonal block
    downwards, so five eighths of it are stored and computed, by plain matrix products.
    """

    def __init__(self, d_model: int) -> None:
        """Lay out the panels of a matrix of that size."""
        self.d_model = d_model
        self._cuts: list[tuple[int, int, int]] = []
        self.size = 0
        step = math.ceil(d_model / (_PANELS if d_model >= _WIDE else 1))
        for start in range(0, d_model, step):
            stop = min(start + step, d_model)
            self._cuts.append((start, stop, self.size))
            self.size += (d_model - start) * (stop - start)

    def gram(self, x: Float[Tensor, "batch n d_model"]) -> Float[Tensor, "batch size"]:
        """Return XᵀX."""
        parts = [x[..., start:].mT @ x[..., start:stop] for start, stop, _ in self._cuts]
        return torch.cat([part.flatten(1) for part in parts], dim=1)

    def add_outer(
        self,
        flat: Float[Tensor, "batch size"],
        left: Float[Tensor, "batch k d_model"],
        right: Float[Tensor, "batch k d_model"],
    ) -> None:
        """Add Σ_k left_k right_kᵀ, which must be symmetric, in place."""
        for start, stop, panel in self._views(flat):
            panel.baddbmm_(left[..., start:].mT, right[..., start:stop])

    def dense(self, flat: Float[Tensor, "batch size"]) -> Float[Tensor, "batch d_model d_model"]:
        """Return the whole matrices."""
        whole = flat.new_empty(len(flat), self.d_model, self.d_model)
        for start, stop, panel in self._views(flat):
            whole[:, start:stop, start:] = panel.mT
            whole[:, start:, start:stop] = panel
        return whole

    def _views(self, flat: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        for start, stop, offset in self._cuts:
            height = self.d_model - start
            part = flat[:, offset : offset + height * (stop - start)]
            yield start, stop, part.view(len(flat), height, stop - start)
