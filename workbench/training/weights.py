"""Weights by name: their copies, and weights taken over from copies."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from workbench.errors import ModelError


def copies(weights: Mapping[str, nn.Parameter], prefix: str = "") -> dict[str, Tensor]:
    """Return copies of weights, names behind `prefix`."""
    return {prefix + name: weight.detach().clone() for name, weight in weights.items()}


def take_over(
    weights: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], *, hint: str
) -> None:
    """Overwrite weights with copies of the same names and shapes.

    Raises:
        ModelError: names or shapes differ; `hint` says what to try.
    """
    both = weights.keys() & tensors.keys()
    wrong = sorted(weights.keys() ^ tensors.keys())
    wrong += sorted(name for name in both if weights[name].shape != tensors[name].shape)
    if wrong:
        raise ModelError(f"{len(wrong)} weights do not fit this model, {wrong[0]} first", hint=hint)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(tensors[name])
