"""Objectives over rows that they keep."""

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from torch import nn

RowT = TypeVar("RowT")


class RowObjective(Generic[RowT]):
    """The weights that train and the rows that they learn from."""

    def __init__(self, weights: Mapping[str, nn.Parameter], rows: Sequence[RowT]) -> None:
        """Keep both."""
        self.weights, self.rows = dict(weights), rows

    @property
    def n_rows(self) -> int:
        """The number of rows to learn from."""
        return len(self.rows)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """The weights that train, by name."""
        return self.weights
