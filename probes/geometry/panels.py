"""Symmetric matrices kept as four panels on and below the diagonal."""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

_PANELS = 4


class Panels:
    """The layout of a symmetric d × d matrix as one flat vector.

    Panel j holds the columns of the j-th quarter from the diagonal block downwards, so five
    eighths of the matrix are stored and computed, by plain matrix products.
    """

    def __init__(self, d_model: int) -> None:
        """Lay out the panels of a matrix of that size."""
        self.d_model = d_model
        self._cuts: list[tuple[int, int, int]] = []
        self.size = 0
        step = math.ceil(d_model / _PANELS)
        for start in range(0, d_model, step):
            stop = min(start + step, d_model)
            self._cuts.append((start, stop, self.size))
            self.size += (d_model - start) * (stop - start)

    def gram(self, x: Float[Tensor, "n d_model"]) -> Float[Tensor, " size"]:
        """Return XᵀX."""
        flat = x.new_empty(self.size)
        for start, stop, panel in self._views(flat):
            torch.mm(x[:, start:].T, x[:, start:stop], out=panel)
        return flat

    def add_outer(
        self,
        flat: Float[Tensor, " size"],
        left: Float[Tensor, "k d_model"],
        right: Float[Tensor, "k d_model"],
    ) -> None:
        """Add Σ_k left_k right_kᵀ, which must be symmetric, in place."""
        for start, stop, panel in self._views(flat):
            panel.addmm_(left[:, start:].T, right[:, start:stop])

    def dense(self, flat: Float[Tensor, " size"]) -> Float[Tensor, "d_model d_model"]:
        """Return the whole matrix."""
        whole = flat.new_empty(self.d_model, self.d_model)
        for start, stop, panel in self._views(flat):
            whole[start:stop, start:] = panel.T
            whole[start:, start:stop] = panel
        return whole

    def _views(self, flat: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        for start, stop, offset in self._cuts:
            height = self.d_model - start
            part = flat[offset : offset + height * (stop - start)]
            yield start, stop, part.view(height, stop - start)
