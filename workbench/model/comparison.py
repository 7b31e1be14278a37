"""How far two tensors are apart, and how far they may be."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

ACROSS_IMPLEMENTATIONS = 1e-4
"""Relative error allowed in single precision where two programs compute the same quantity."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """A tensor that was found and the one it should equal; `what` names both."""

    what: str
    found: Tensor
    wanted: Tensor

    @property
    def largest(self) -> float:
        """The largest relative error of a token, ‖a − b‖ / ‖b‖; infinite where shapes differ."""
        if self.found.shape != self.wanted.shape:
            return float("inf")
        return largest_error(self.found, self.wanted)


def largest_error(
    a: Float[Tensor, "batch pos *shape"], b: Float[Tensor, "batch pos *shape"]
) -> float:
    """Return the largest ‖a − b‖ / ‖b‖ of a token.

    Entries that are not finite in both are left out: a model that overflows is not a backend
    that errs. An entry that is finite in one of them only makes the error infinite.
    """
    a, b = (x.detach().to("cpu", torch.float64).flatten(2) for x in (a, b))
    if not torch.equal(a.isfinite(), b.isfinite()):
        return float("inf")
    a, b = (torch.where(x.isfinite(), x, 0.0) for x in (a, b))
    gap = torch.linalg.vector_norm(a - b, dim=-1)
    size = torch.linalg.vector_norm(b, dim=-1)
    ratio = torch.where(gap == 0, 0.0, gap / size)
    return float(ratio.max()) if ratio.numel() else 0.0


def rounding(dtype: torch.dtype) -> float:
    """Return the relative error allowed where the same numbers are computed in the same way."""
    return 16 * torch.finfo(dtype).eps


def across(dtype: torch.dtype) -> float:
    """Return the relative error allowed where two programs compute the same quantity."""
    return max(ACROSS_IMPLEMENTATIONS, rounding(dtype))


def worst(comparisons: Iterable[Comparison]) -> Comparison | None:
    """Return the comparison with the largest error, None where there was none."""
    return max(comparisons, key=lambda one: one.largest, default=None)
