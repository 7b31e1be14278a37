"""Changes to a gated mixture at chosen steps: force the gate, replace the mixture, leave it out."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadOption
from workbench.latent.gate import forced
from workbench.latent.inputs import GatedMixture, LatentVector, Moment
from workbench.latent.mixture import EmbeddingTable, Mixture

Replacement = Literal["own", "top-1", "mean", "noise"]


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """What is changed, at steps `first` to `last` (counted from 0, None: to the end).

    `gate` forces `a`: 1 closes the gate, so the token is fed bit for bit. `mixture` replaces h by
    the likeliest token's embedding (`top-1`, denoised), by the mean embedding of the vocabulary
    at h's own length (`mean`), or by a random direction of that length (`noise`). `without`
    leaves one token out of the mixture, and `drawn` the token that was drawn.
    """

    gate: float | None = None
    mixture: Replacement = "own"
    without: int | None = None
    drawn: bool = False
    first: int = 0
    last: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a window that is none."""
        if self.first < 0 or (self.last is not None and self.last < self.first):
            raise BadOption(f"steps {self.first} to {self.last}; expected 0 ≤ first ≤ last")
        if self.gate is not None and not 0 <= self.gate <= 1:
            raise BadOption(f"the gate is forced to {self.gate}; expected a number from 0 to 1")

    def acts_at(self, step: int) -> bool:
        """Whether a step lies in the window."""
        return step >= self.first and (self.last is None or step <= self.last)


@dataclass(frozen=True, kw_only=True, eq=False)
class Intervened:
    """A gated mixture with an intervention; outside its window the mixture as it is."""

    inner: GatedMixture
    change: Intervention
    needs_hidden: bool = field(default=False, init=False)
    needs_noise: bool = field(default=False, init=False)

    def visible(self, now: Moment) -> None:
        """Show what was drawn."""

    def next_input(self, now: Moment) -> LatentVector:
        """Return the changed vector."""
        if not self.change.acts_at(now.index):
            return self.inner.next_input(now)
        mixture = self._left(Mixture.of(now.p, self.inner.width), now)
        token = now.table.of(now.tokens)
        with torch.no_grad():
            opening = self.inner.gate.opening(token)
            if self.change.gate is not None:
                opening = forced(self.change.gate, opening.i)
            return LatentVector(vector=opening.mix(token, self._h(mixture, now)), mixture=mixture)

    def _left(self, mixture: Mixture, now: Moment) -> Mixture:
        if self.change.without is not None:
            mixture = mixture.without(torch.full_like(now.tokens, self.change.without))
        return mixture.without(now.tokens) if self.change.drawn else mixture

    def _h(self, mixture: Mixture, now: Moment) -> Float[Tensor, "batch d_model"]:
        h = now.table.spread(mixture)
        if self.change.mixture == "own":
            return h
        if self.change.mixture == "top-1":
            return now.table.spread(mixture.few(1))
        other = self._direction(now.table, h, now.index)
        lengths: tuple[Tensor, Tensor] = (h.norm(dim=-1), other.norm(dim=-1))
        return other * (lengths[0] / lengths[1])[:, None]

    def _direction(self, table: EmbeddingTable, h: Tensor, step: int) -> Tensor:
        if self.change.mixture == "mean":
            return table.weight.float().mean(dim=0).expand_as(h)
        # The same direction in every row: a row must not depend on the rows beside it.
        generator = torch.Generator().manual_seed(self.change.seed * 1_000_003 + step)
        return torch.randn(h.shape[-1], generator=generator).to(h).expand_as(h)
