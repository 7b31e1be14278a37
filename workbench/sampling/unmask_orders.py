"""Which hidden positions a masked-diffusion decoder fills in next."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.errors import BadOption


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What an order sees of a batch before each step.

    `confidence` is the probability of the token that would be written at each position, `noise` a
    uniform draw, and `many` how many positions a step fills.
    """

    masked: Bool[Tensor, "batch pos"]
    confidence: Float[Tensor, "batch pos"]
    noise: Float[Tensor, "batch pos"]
    many: int


class Order(ABC):
    """A rule for which positions come next; `begin` returns one without a past."""

    def begin(self) -> "Order":
        """Return the rule for a new batch."""
        return self

    @abstractmethod
    def choose(self, view: View) -> Bool[Tensor, "batch pos"]:
        """Return the positions to fill: of every row with hidden ones, at least one of them."""


class LeftToRight(Order):
    """The leftmost hidden positions, as in autoregression."""

    def choose(self, view: View) -> Bool[Tensor, "batch pos"]:
        """Take the leftmost ones."""
        return highest(_leftness(view.masked), view.masked, view.many)


class AtRandom(Order):
    """Hidden positions at random, as masked diffusion is defined."""

    def choose(self, view: View) -> Bool[Tensor, "batch pos"]:
        """Take those with the highest noise."""
        return highest(view.noise, view.masked, view.many)


@dataclass(frozen=True, kw_only=True)
class MostConfident(Order):
    """The positions with the most confident tokens.

    From `threshold` on all of them are taken, and the best one where there is none (confident
    decoding); None takes as many as a step fills.

    Source: Chang et al. 2022, arXiv:2202.04200; threshold: Dimple, arXiv:2505.16990, section 3.
    """

    threshold: float | None = None

    def choose(self, view: View) -> Bool[Tensor, "batch pos"]:
        """Take the most confident ones."""
        if self.threshold is None:
            return highest(view.confidence, view.masked, view.many)
        sure = view.masked & (view.confidence >= self.threshold)
        return sure | highest(view.confidence, view.masked, 1)


@dataclass(frozen=True, kw_only=True)
class Blocks(Order):
    """Blocks of a fixed size from left to right, the most confident positions first in each.

    Source: Arriola et al. 2025, arXiv:2503.09573 (block diffusion).
    """

    size: int

    def choose(self, view: View) -> Bool[Tensor, "batch pos"]:
        """Take from the leftmost block with hidden positions."""
        ends = (first_masked(view.masked) // self.size + 1) * self.size
        return highest(view.confidence, view.masked & _before(ends, view.masked), view.many)


@dataclass(frozen=True, kw_only=True)
class ChosenBlocks(Order):
    """Blocks whose size is chosen as each begins: the largest that is confident on average.

    A block has between `least` and `most` positions, and as many as keep the mean confidence of
    its tokens at `threshold`.

    Source: CtrlDiff, arXiv:2505.14455, section 3.2. We differ: a rule in place of a policy that
    reinforcement learning trains.
    """

    threshold: float = 0.8
    least: int = 2
    most: int = 16

    def __post_init__(self) -> None:
        """Refuse a range of sizes that is empty."""
        if not 1 <= self.least <= self.most:
            raise BadOption(f"block sizes {self.least} to {self.most}; expected least ≤ most")

    def begin(self) -> "Order":
        """Return the rule with no block begun."""
        return _Choosing(self)

    def sizes(self, view: View) -> Int[Tensor, " batch"]:
        """Return the size that a block would be given that begins at the first hidden position."""
        left, width = first_masked(view.masked), view.masked.shape[1]
        sizes = torch.arange(1, self.most + 1, device=left.device)
        at = left[:, None] + sizes - 1
        seen = view.confidence.double().gather(1, at.clamp(max=width - 1)).cumsum(dim=1)
        fits = (seen / sizes >= self.threshold) & (at < width)
        return torch.where(fits, sizes, 0).amax(dim=1).clamp(min=self.least)

    def choose(self, view: View) -> Bool[Tensor, "batch pos"]:
        """Take from a block that begins here."""
        return self.begin().choose(view)


class _Choosing(Order):
    def __init__(self, rule: ChosenBlocks) -> None:
        self._rule, self._ends = rule, torch.zeros(0, dtype=torch.long)

    def choose(self, view: View) -> Bool[Tensor, "batch pos"]:
        left = first_masked(view.masked)
        ends = self._ends.to(left) if len(self._ends) else torch.zeros_like(left)
        self._ends = torch.where(left >= ends, left + self._rule.sizes(view), ends)
        return highest(view.confidence, view.masked & _before(self._ends, view.masked), view.many)


@dataclass(frozen=True, kw_only=True)
class LeftToRightThen(Order):
    """The first positions one by one from the left, all others by confidence.

    Source: Dimple, arXiv:2505.16990, whose training has these two phases.
    """

    first: int

    def choose(self, view: View) -> Bool[Tensor, "batch pos"]:
        """Take the leftmost one while one of the first is hidden."""
        early = first_masked(view.masked) < self.first
        one = highest(_leftness(view.masked), view.masked, 1)
        return torch.where(early[:, None], one, MostConfident().choose(view))


def highest(
    score: Float[Tensor, "batch pos"], masked: Bool[Tensor, "batch pos"], many: int
) -> Bool[Tensor, "batch pos"]:
    """Return the hidden positions with the highest scores, all where there are no more."""
    known = score.double().masked_fill(~masked, -torch.inf)
    rank = known.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return masked & (rank < many)


def first_masked(masked: Bool[Tensor, "batch pos"]) -> Int[Tensor, " batch"]:
    """Return the first hidden position of each row, the width where there is none."""
    return torch.where(masked.any(dim=1), masked.long().argmax(dim=1), masked.shape[1])


def _leftness(masked: Bool[Tensor, "batch pos"]) -> Float[Tensor, "batch pos"]:
    return -torch.arange(masked.shape[1], device=masked.device).double().expand(masked.shape)


def _before(ends: Int[Tensor, " batch"], masked: Tensor) -> Bool[Tensor, "batch pos"]:
    return torch.arange(masked.shape[1], device=masked.device) < ends[:, None]
