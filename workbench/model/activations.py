"""Labelled activations: what a readout is fitted on."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from workbench.errors import TooLittleData


@dataclass(frozen=True, kw_only=True, eq=False)
class Activations:
    """One vector per example with its label and group.

    `y` holds class names (strings) or numbers. Examples of one group (the same question, the
    same author) never fall on both sides of a split.
    """

    x: Float[Tensor, "n d_model"]
    y: NDArray[np.generic]
    groups: NDArray[np.generic]

    def __post_init__(self) -> None:
        """Refuse arrays of unequal length, and an empty set."""
        sizes = {len(self.x), len(self.y), len(self.groups)}
        if len(sizes) != 1 or 0 in sizes:
            raise TooLittleData(
                f"{len(self.x)} vectors, {len(self.y)} labels and {len(self.groups)} groups; "
                "expected as many of each, at least one"
            )

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.y)

    @property
    def is_numeric(self) -> bool:
        """Whether the labels are numbers to predict rather than classes."""
        return bool(np.issubdtype(self.y.dtype, np.floating))

    @property
    def classes(self) -> tuple[str, ...]:
        """The different labels in sorted order."""
        return tuple(str(c) for c in np.unique(self.y))

    def take(self, rows: NDArray[np.intp]) -> "Activations":
        """Return the examples at those indices."""
        index = torch.as_tensor(rows, device=self.x.device)
        return Activations(x=self.x[index], y=self.y[rows], groups=self.groups[rows])

    def relabel(self, y: NDArray[np.generic]) -> "Activations":
        """Return the same vectors with other labels."""
        return Activations(x=self.x, y=y, groups=self.groups)
