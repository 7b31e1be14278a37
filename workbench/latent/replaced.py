"""Thoughts replaced by something that carries nothing of the problem: what a chain loses by it."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import BadOption
from workbench.latent.inputs import LatentInput, LatentVector, Moment

Replacement = Literal["own", "zero", "noise", "other"]
REPLACED = "In place of what is fed: nought, a random direction, another row's."


def in_place_of(
    fed: Float[Tensor, "batch d_model"], by: Replacement, step: int
) -> Float[Tensor, "batch d_model"]:
    """Return vectors replaced: by nought, a random direction as long, or those of the row before.

    The direction is the same in every row of a step, so that a row does not depend on the others.

    Raises:
        BadOption: the vector of another row is wanted, and there is one row.
    """
    if by == "own":
        return fed
    if by == "zero":
        return torch.zeros_like(fed)
    if by == "noise":
        generator = torch.Generator().manual_seed(step)
        other = torch.randn(fed.shape[-1], generator=generator).to(fed)
        changed: Tensor = other / other.norm() * fed.norm(dim=-1, keepdim=True)
        return changed
    if len(fed) < 2:
        raise BadOption(
            "the thought of another problem is to be fed, and there is one problem",
            hint="solve two or more in one batch",
        )
    return fed.roll(1, dims=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Replaced:
    """A latent input whose vectors are replaced while rows think; what is shown stays its own."""

    inner: LatentInput
    by: Replacement

    @property
    def needs_hidden(self) -> bool:
        """Whether the input is made of the newest hidden state."""
        return self.inner.needs_hidden

    @property
    def needs_noise(self) -> bool:
        """Whether the input needs Gumbel numbers."""
        return self.inner.needs_noise

    def visible(self, now: Moment) -> Int[Tensor, " batch"] | None:
        """Return what the input shows."""
        return self.inner.visible(now)

    def next_input(self, now: Moment) -> LatentVector | None:
        """Return the replaced vector; None where tokens are fed."""
        found = self.inner.next_input(now)
        if found is None:
            return None
        return replace(found, vector=in_place_of(found.vector, self.by, now.index))


def replaced_input(inner: LatentInput, by: Replacement) -> LatentInput:
    """Return the input itself where nothing is replaced."""
    return inner if by == "own" else Replaced(inner=inner, by=by)
