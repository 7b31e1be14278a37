"""Streaming counts, means and scatters: the whole, and a few groups of texts for intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

MAX_GROUPS = 16
MIN_GROUPS = 4
_PANELS = 4


def affordable_groups(n_sites: int, d_model: int, memory_mb: float) -> int:
    """Return how many groups of texts fit the memory, at most 16; 0 below four.

    A group keeps the lower triangle of its scatter in float32: 0.7 MB per layer at width 576.
    """
    per_group = n_sites * d_model * (d_model + 1) / 2 * 4
    groups = min(MAX_GROUPS, int(memory_mb * 1e6 // per_group))
    return groups if groups >= MIN_GROUPS else 0


class Moments:
    """Count, mean and scatter of every layer, updated batch by batch.

    The whole is kept in float64; batches A and B join with δ = m_B − m_A as
    m += δ n_B/n and M += M_B + δδᵀ n_A n_B/n. Groups are only ever used for the spread between
    leave-one-out values, so float32 triangles are enough for them.

    Source: Chan, Golub & LeVeque 1979, parallel variance.
    """

    def __init__(self, n_sites: int, d_model: int, n_groups: int, device: torch.device) -> None:
        """Begin with nothing counted."""
        self.device = device
        self.n = 0
        self.mean = torch.zeros(n_sites, d_model, dtype=torch.float64, device=device)
        self.scatter = torch.zeros(n_sites, d_model, d_model, dtype=torch.float64, device=device)
        self.group_n = np.zeros(n_groups, dtype=np.int64)
        self.group_mean = torch.zeros(
            n_groups, n_sites, d_model, dtype=torch.float64, device=device
        )
        triangle = d_model * (d_model + 1) // 2
        self.group_scatter = torch.zeros(
            n_groups, n_sites, triangle, dtype=torch.float32, device=device
        )
        rows, columns = torch.tril_indices(d_model, d_model, device=device)
        self._triangle = rows * d_model + columns

    def add(
        self, site: int, x: Float[Tensor, "n d_model"], bounds: Sequence[tuple[int, int, int]]
    ) -> None:
        """Add one layer of a batch whose tokens are sorted by group; `x` is centred in place."""
        mean = x.mean(dim=0)
        x -= mean
        total = torch.zeros_like(self.scatter[site])
        for group, start, end in bounds:
            part = x[start:end]
            gram = _gram(part)
            total += gram
            if len(self.group_n):
                self._add_group(group, site, part.mean(dim=0), mean, gram, end - start)
        _join(self.mean[site], self.scatter[site], self.n, mean, total, len(x))

    def count(self, bounds: Sequence[tuple[int, int, int]]) -> None:
        """Count the batch after every layer of it was added."""
        for group, start, end in bounds:
            self.n += end - start
            if len(self.group_n):
                self.group_n[group] += end - start

    def _add_group(
        self,
        group: int,
        site: int,
        offset: Float[Tensor, " d_model"],
        batch_mean: Float[Tensor, " d_model"],
        gram: Float[Tensor, "d_model d_model"],
        n: int,
    ) -> None:
        """Add a group's part of the batch; `gram` is about the batch mean, `offset` away."""
        had = int(self.group_n[group])
        delta = batch_mean + offset - self.group_mean[group, site]
        own = gram.addr(offset, offset, alpha=-n)
        own.addr_(delta, delta, alpha=had * n / (had + n))
        self.group_mean[group, site] += delta * (n / (had + n))
        self.group_scatter[group, site] += own.flatten()[self._triangle].float()

    def merge(self, other: "Moments") -> None:
        """Add the moments of other data."""
        if other.n:
            for site in range(len(self.mean)):
                mean, scatter = other.mean[site], other.scatter[site].clone()
                _join(self.mean[site], self.scatter[site], self.n, mean, scatter, other.n)
        self.n += other.n
        for group in other.groups:
            self._merge_group(group, other)

    def _merge_group(self, group: int, other: "Moments") -> None:
        had, n = int(self.group_n[group]), int(other.group_n[group])
        delta = other.group_mean[group] - self.group_mean[group]
        between = delta[:, :, None] * delta[:, None, :] * (had * n / (had + n))
        self.group_scatter[group] += other.group_scatter[group]
        self.group_scatter[group] += between.flatten(1)[:, self._triangle].float()
        self.group_mean[group] += delta * (n / (had + n))
        self.group_n[group] += n

    def covariance(self, site: int) -> Float[Tensor, "d_model d_model"]:
        """Return S with denominator N − 1; needs two tokens."""
        return _mirror(self.scatter[site]) / (self.n - 1)

    def second_moment(self, site: int) -> Float[Tensor, "d_model d_model"]:
        """Return XᵀX, not centred."""
        mean = self.mean[site]
        return _mirror(self.scatter[site]).addr(mean, mean, alpha=self.n)

    @property
    def groups(self) -> list[int]:
        """The groups that hold tokens."""
        return [int(g) for g in np.flatnonzero(self.group_n)]

    @property
    def removable_groups(self) -> list[int]:
        """The groups to leave out in turn: at least three, each leaving three tokens or more."""
        return self.groups if len(self.groups) > 2 and self.n - max(self.group_n) > 2 else []

    def covariance_without(self, site: int, group: int) -> Float[Tensor, "d_model d_model"]:
        """Return the covariance of everything outside one group."""
        n = int(self.group_n[group])
        rest = self.n - n
        own = torch.zeros_like(self.scatter[site])
        own.view(-1)[self._triangle] = self.group_scatter[group, site].double()
        delta = (self.group_mean[group, site] - self.mean[site]) * (self.n / rest)
        outside = self.scatter[site] - own
        outside.addr_(delta, delta, alpha=-n * rest / self.n)
        return _mirror(outside) / (rest - 1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whole state."""
        return {
            "moments.n": np.array(self.n),
            "moments.mean": self.mean.cpu().numpy(),
            "moments.scatter": self.scatter.cpu().numpy(),
            "moments.group_n": self.group_n,
            "moments.group_mean": self.group_mean.cpu().numpy(),
            "moments.group_scatter": self.group_scatter.cpu().numpy(),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        self.n = int(arrays["moments.n"])
        self.group_n = np.array(arrays["moments.group_n"])
        for name in ("mean", "scatter", "group_mean", "group_scatter"):
            kept = torch.from_numpy(np.array(arrays[f"moments.{name}"])).to(self.device)
            setattr(self, name, kept)


def _join(
    mean: Float[Tensor, " d_model"],
    scatter: Float[Tensor, "d_model d_model"],
    had: int,
    new_mean: Float[Tensor, " d_model"],
    new_scatter: Float[Tensor, "d_model d_model"],
    n: int,
) -> None:
    """Join a batch to the running moments in place."""
    delta = new_mean - mean
    scatter += new_scatter.addr_(delta, delta, alpha=had * n / (had + n))
    mean += delta * (n / (had + n))


def _gram(x: Float[Tensor, "n d_model"]) -> Float[Tensor, "d_model d_model"]:
    """Return XᵀX, right on and below the diagonal only: five eighths of the work."""
    d_model = x.shape[1]
    gram = torch.zeros(d_model, d_model, dtype=x.dtype, device=x.device)
    step = math.ceil(d_model / _PANELS)
    for start in range(0, d_model, step):
        torch.mm(x[:, start:].T, x[:, start : start + step], out=gram[start:, start : start + step])
    return gram


def _mirror(lower: Float[Tensor, "d_model d_model"]) -> Float[Tensor, "d_model d_model"]:
    """Copy the lower triangle over the upper one."""
    return torch.tril(lower) + torch.tril(lower, -1).T
