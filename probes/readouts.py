"""Fitted maps from a vector to class scores or to a number."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import BadOption


@dataclass(frozen=True, eq=False)
class LinearReadout:
    """One weighted sum per class, or one number: x·w + b.

    `weight` with one row per class gives one score each. A single direction with two classes
    gives −s/2 and s/2 for s = x·w + b, so that s is the log-odds of the second class. Without
    classes the single score is the predicted number.
    """

    weight: Float[Tensor, " d_model"] | Float[Tensor, "n_class d_model"]
    bias: Float[Tensor, ""] | Float[Tensor, " n_class"]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse weights that do not fit the classes.

        Raises:
            BadOption: neither one direction for up to two classes nor one row per class.
        """
        rows = 1 if self.weight.dim() == 1 else len(self.weight)
        fits = len(self.classes) in (0, 2) if self.weight.dim() == 1 else rows == len(self.classes)
        if not fits:
            raise BadOption(
                f"weights of shape {tuple(self.weight.shape)} for {len(self.classes)} classes; "
                "expected one row per class, or one direction for two classes or a number"
            )

    def scores(self, x: Float[Tensor, "n d_model"]) -> Float[Tensor, "n n_class"]:
        """Return one column per class; one column of numbers without classes."""
        weight = self.weight.to(device=x.device, dtype=x.dtype)
        found = torch.nn.functional.linear(x, weight) + self.bias.to(device=x.device, dtype=x.dtype)
        if self.weight.dim() == 2:
            return found
        return torch.stack([-found / 2, found / 2], dim=1) if self.classes else found[:, None]

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the weights, in units of score per unit of activation, and the bias."""
        return {
            "weight": self.weight.detach().float().cpu().numpy(),
            "bias": self.bias.detach().float().cpu().reshape(-1).numpy(),
        }


@dataclass(frozen=True, eq=False)
class ConstantReadout:
    """The same scores for every vector: what is known before looking."""

    value: Float[Tensor, " n_class"]
    classes: tuple[str, ...] = ()

    def scores(self, x: Float[Tensor, "n d_model"]) -> Float[Tensor, "n n_class"]:
        """Return the constant scores once per row."""
        return self.value.to(device=x.device, dtype=x.dtype).expand(len(x), -1)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the constant scores."""
        return {"value": self.value.detach().float().cpu().numpy()}
