"""Streaming counts, means and scatters: the whole, and a few groups of texts for intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.panels import Panels

MAX_GROUPS = 10
MIN_GROUPS = 4

Bounds = Sequence[tuple[int, int, int]]


def affordable_groups(n_sites: int, d_model: int, memory_mb: float) -> int:
    """Return how many groups of texts fit the memory, at most ten; 0 below four.

    A group keeps half of its scatter in float32: 0.8 MB per layer at width 576.
    """
    groups = min(MAX_GROUPS, int(memory_mb * 1e6 // (n_sites * Panels(d_model).size * 4)))
    return groups if groups >= MIN_GROUPS else 0


class Moments:
    """Count, mean and scatter of every layer, updated batch by batch.

    The whole is kept in float64; batches A and B join with δ = m_B − m_A as
    m += δ n_B/n and M += M_B + δδᵀ n_A n_B/n. Groups are only ever used for the spread between
    leave-one-out values, so float32 is enough for their scatters.

    Source: Chan, Golub & LeVeque 1979, parallel variance.
    """

    def __init__(self, n_sites: int, d_model: int, n_groups: int, device: torch.device) -> None:
        """Begin with nothing counted."""
        self.device = device
        self.panels = Panels(d_model)
        double = torch.float64
        self.n = 0
        self.mean = torch.zeros(n_sites, d_model, dtype=double, device=device)
        self.scatter = torch.zeros(n_sites, self.panels.size, dtype=double, device=device)
        self.group_n = np.zeros(n_groups, dtype=np.int64)
        self.group_mean = torch.zeros(n_groups, n_sites, d_model, dtype=double, device=device)
        self.group_scatter = torch.zeros(n_groups, n_sites, self.panels.size, device=device)

    def add(
        self, site: int, x: Float[Tensor, "n d_model"], near: Float[Tensor, " d_model"], at: Bounds
    ) -> None:
        """Add one layer of a batch whose tokens are sorted by group; `near` is taken off `x`.

        Products are about `near`, best the mean, in the precision of `x`; they are summed over
        batches in float64. `at` tells where each group lies.
        """
        x -= near
        mean = near.double()
        total = torch.zeros_like(self.scatter[site])
        rest = torch.zeros_like(mean)
        for group, start, end in at if len(self.group_n) else ((-1, 0, len(x)),):
            part = x[start:end]
            gram = self.panels.gram(part)
            total += gram
            offset = part.mean(dim=0).double()
            rest += offset * ((end - start) / len(x))
            if group >= 0:
                self._join_group(group, site, end - start, (mean, offset), gram)
        self.panels.add_outer(total, rest[None] * -len(x), rest[None])
        self._join(site, len(x), mean + rest, total)

    def count(self, bounds: Bounds) -> None:
        """Count the batch after every layer of it was added."""
        for group, start, end in bounds:
            self.n += end - start
            if len(self.group_n):
                self.group_n[group] += end - start

    def _join(
        self, site: int, n: int, mean: Float[Tensor, " d_model"], scatter: Float[Tensor, " size"]
    ) -> None:
        """Join n tokens to the whole."""
        delta = (mean - self.mean[site])[None]
        self.panels.add_outer(scatter, delta * (self.n * n / (self.n + n)), delta)
        self.scatter[site] += scatter
        self.mean[site] += delta[0] * (n / (self.n + n))

    def _join_group(
        self,
        group: int,
        site: int,
        n: int,
        mean: tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]],
        scatter: Float[Tensor, " size"],
    ) -> None:
        """Join n tokens to one group; `scatter` is about the first part of their mean."""
        origin, offset = mean
        had = int(self.group_n[group])
        delta = origin + offset - self.group_mean[group, site]
        right = torch.stack([offset, delta])
        left = torch.stack([offset * -n, delta * (had * n / (had + n))])
        self.panels.add_outer(scatter, left.to(scatter.dtype), right.to(scatter.dtype))
        self.group_scatter[group, site] += scatter
        self.group_mean[group, site] += delta * (n / (had + n))

    def merge(self, other: "Moments") -> None:
        """Add the moments of other data."""
        if other.n == 0:
            return
        for site in range(len(self.mean)):
            self._join(site, other.n, other.mean[site], other.scatter[site].clone())
            for group in other.groups:
                self._join_group(
                    group,
                    site,
                    int(other.group_n[group]),
                    (other.group_mean[group, site], torch.zeros_like(other.mean[site])),
                    other.group_scatter[group, site].double(),
                )
        self.n += other.n
        self.group_n += other.group_n

    def covariance(self, site: int) -> Float[Tensor, "d_model d_model"]:
        """Return S with denominator N − 1; needs two tokens."""
        return self.panels.dense(self.scatter[site]) / (self.n - 1)

    def second_moment(self, site: int) -> Float[Tensor, "d_model d_model"]:
        """Return XᵀX, not centred."""
        mean = self.mean[site]
        return self.panels.dense(self.scatter[site]).addr(mean, mean, alpha=self.n)

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
        delta = (self.group_mean[group, site] - self.mean[site])[None] * (self.n / rest)
        outside = self.scatter[site] - self.group_scatter[group, site]
        self.panels.add_outer(outside, delta * (-n * rest / self.n), delta)
        return self.panels.dense(outside) / (rest - 1)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the whole state."""
        return {
            "moments.n": np.array(self.n),
            "moments.group_n": self.group_n,
            "moments.mean": self.mean.cpu().numpy(),
            "moments.scatter": self.scatter.cpu().numpy(),
            "moments.group_mean": self.group_mean.cpu().numpy(),
            "moments.group_scatter": self.group_scatter.cpu().numpy(),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]], *, copy: bool = True) -> None:
        """Take over a state; without a copy it may be read but not added to."""
        self.n = int(arrays["moments.n"])
        self.group_n = np.array(arrays["moments.group_n"])
        for name in ("mean", "scatter", "group_mean", "group_scatter"):
            found = arrays[f"moments.{name}"]
            kept = torch.from_numpy(found.copy() if copy else found).to(self.device)
            setattr(self, name, kept)
