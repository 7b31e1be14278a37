"""Streaming counts, means and scatters: the whole, and a few groups of texts for intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.panels import Panels

MAX_GROUPS = 10
MIN_GROUPS = 4

Bounds = Sequence[tuple[int, int, int]]
_SUMS = ("origin", "scatter", "group_total", "group_scatter")


def affordable_groups(n_sites: int, d_model: int, memory_mb: float) -> int:
    """Return how many groups of texts fit the memory, at most ten; 0 below four.

    A group keeps half of its scatter in float32: 0.8 MB per layer at width 576.
    """
    groups = min(MAX_GROUPS, int(memory_mb * 1e6 // (n_sites * Panels(d_model).size * 4)))
    return groups if groups >= MIN_GROUPS else 0


class Moments:
    """Count, sum and scatter of every layer about an origin, the mean of the first tokens.

    About an origin that lies within the data sums of products cancel little, and the sums of two
    parts of the data only add up. The whole is kept in float64. Groups are only ever used for the
    spread between leave-one-out values, so float32 is enough for their scatters.
    """

    def __init__(self, n_sites: int, d_model: int, n_groups: int, device: torch.device) -> None:
        """Begin with nothing counted."""
        self.panels = Panels(d_model)
        size = self.panels.size

        def zeros(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        self.n = 0
        self.group_n = np.zeros(n_groups, dtype=np.int64)
        self.origin, self.total = zeros(n_sites, d_model), zeros(n_sites, d_model)
        self.scatter = zeros(n_sites, size)
        self.group_total = zeros(n_groups, n_sites, d_model)
        self.group_scatter = zeros(n_groups, n_sites, size, dtype=torch.float32)

    def add(self, at: slice, x: Float[Tensor, "layer n d_model"], bounds: Bounds) -> None:
        """Add a batch of some layers, its tokens sorted by group; the origin is taken off `x`.

        Products are in the precision of `x` and are summed over batches in float64. `bounds` tell
        where each group lies.
        """
        if self.n == 0:
            self.origin[at] = x.mean(dim=1)
        x -= self.origin[at, None].to(x.dtype)  # the mean of numbers of that type is one of them
        for group, start, end in bounds if len(self.group_n) else ((-1, 0, x.shape[1]),):
            part = x[:, start:end]
            gram, total = self.panels.gram(part), part.sum(dim=1)
            self.scatter[at] += gram
            self.total[at] += total
            if group >= 0:
                self.group_scatter[group, at] += gram
                self.group_total[group, at] += total

    def count(self, bounds: Bounds) -> None:
        """Count the batch after every layer of it was added."""
        for group, start, end in bounds:
            self.n += end - start
            if len(self.group_n):
                self.group_n[group] += end - start

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add the state of other data, one array in memory at a time."""
        n = int(arrays["moments.n"])
        if n == 0:
            return
        if self.n == 0:
            self.restore(arrays)
            return
        moved = self._loaded(arrays, "origin") - self.origin
        self.scatter += self._loaded(arrays, "scatter")
        self._move(self.scatter, torch.zeros_like(moved), moved, torch.tensor(n))
        self.total += n * moved
        self.n += n
        group_n = np.asarray(arrays["moments.group_n"])
        self.group_n = self.group_n + group_n
        self.group_scatter += self._loaded(arrays, "group_scatter")
        self.group_total += self._loaded(arrays, "group_total")
        self._move_groups(self._loaded(arrays, "group_total"), moved, group_n)

    def centre(self) -> None:
        """Take the mean as the origin, so that the sums are the same however the data was cut."""
        if not self.n:
            return
        mean, moved = self.mean, self.origin - self.mean
        self._move(self.scatter, self.total, moved, torch.tensor(self.n))
        self._move_groups(self.group_total.clone(), moved, self.group_n)
        self.origin, self.total = mean, torch.zeros_like(mean)

    def _move_groups(
        self,
        total: Float[Tensor, "group layer d_model"],
        moved: Float[Tensor, "layer d_model"],
        n: Int[np.ndarray, " group"],
    ) -> None:
        """Bring what was added to groups about an origin, of which these are counts and sums."""
        if not len(n):
            return
        counts = torch.from_numpy(n).to(moved.device)[:, None, None].expand(-1, len(moved), 1)
        self._move(
            self.group_scatter.flatten(0, 1),
            total.flatten(0, 1),
            moved.repeat(len(n), 1),
            counts.reshape(-1, 1),
        )
        self.group_total += counts * moved

    def _move(
        self,
        scatter: Float[Tensor, "batch size"],
        total: Float[Tensor, "batch d_model"],
        moved: Float[Tensor, "batch d_model"],
        n: Tensor,
    ) -> None:
        """Bring what was added about another origin to this one; it lay that far from here."""
        left = torch.stack([moved, total + n * moved], dim=1).to(scatter.dtype)
        self.panels.add_outer(scatter, left, torch.stack([total, moved], dim=1).to(scatter.dtype))

    @property
    def mean(self) -> Float[Tensor, "layer d_model"]:
        """The mean vector of every layer."""
        mean: Tensor = self.origin + self.total / max(self.n, 1)
        return mean

    def covariance(self, at: slice) -> Float[Tensor, "layer d_model d_model"]:
        """Return S with denominator N − 1; needs two tokens."""
        return self._covariance(self.scatter[at].clone(), self.total[at], self.n)

    def covariance_without(self, at: slice, group: int) -> Float[Tensor, "layer d_model d_model"]:
        """Return the covariance of everything outside one group."""
        scatter = self.scatter[at] - self.group_scatter[group, at]
        total = self.total[at] - self.group_total[group, at]
        return self._covariance(scatter, total, self.n - int(self.group_n[group]))

    def _covariance(
        self, scatter: Float[Tensor, "layer size"], total: Float[Tensor, "layer d_model"], n: int
    ) -> Float[Tensor, "layer d_model d_model"]:
        self.panels.add_outer(scatter, total[:, None] / -n, total[:, None])
        return self.panels.dense(scatter) / (n - 1)

    def second_moment(self, at: slice) -> Float[Tensor, "layer d_model d_model"]:
        """Return XᵀX, not centred."""
        scatter = self.scatter[at].clone()
        self._move(scatter, self.total[at], self.origin[at], torch.tensor(self.n))
        return self.panels.dense(scatter)

    @property
    def removable_groups(self) -> list[int]:
        """The groups to leave out in turn: at least three, each leaving three tokens or more."""
        groups = [int(g) for g in np.flatnonzero(self.group_n)]
        return groups if len(groups) > 2 and self.n - max(self.group_n) > 2 else []

    def tensors(self) -> dict[str, Tensor]:
        """Return the sums of the state, which are about the mean."""
        self.centre()
        return {f"moments.{name}": getattr(self, name) for name in _SUMS}

    def counts(self) -> dict[str, NDArray[np.int64]]:
        """Return the counts of the state."""
        return {"moments.n": np.array(self.n), "moments.group_n": self.group_n}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        self.n = int(arrays["moments.n"])
        self.group_n = np.array(arrays["moments.group_n"])
        for name in _SUMS:
            setattr(self, name, self._loaded(arrays, name).clone())
        self.total = torch.zeros_like(self.origin)

    def _loaded(self, arrays: Mapping[str, NDArray[Any]], name: str) -> Tensor:
        return torch.from_numpy(np.asarray(arrays[f"moments.{name}"])).to(self.total.device)
