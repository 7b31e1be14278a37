"""The numbers and words of one batch, cell by cell."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.methods.per_unit import Measured
from workbench.model.trace import Trace
from workbench.result.samples import VALUE


class Cells:
    """The arrays of a batch by kind and metric, NaN where nothing was put."""

    def __init__(
        self,
        trace: Trace,
        n_layers: int,
        arrays: Iterable[tuple[str, str, bool]],
        texts: Iterable[str],
    ) -> None:
        """Make every array (kind, metric, whether it has layers), whatever the texts hold."""
        n, width = trace.tokens.ids.shape
        self._shape = (n, n_layers, width)
        self._numbers: dict[tuple[str, str], NDArray[np.float64]] = {}
        for kind, name, has_layers in arrays:
            self._array(kind, name, 3 if has_layers else 2)
        self._texts = {name: np.full(self._shape, "", dtype=object) for name in texts}

    def put(self, kind: str, name: str, at: tuple[int, ...], value: float | bool) -> None:
        """Put one number."""
        self._array(kind, name, len(at))[at] = value

    def copy(self, kind: str, name: str, at: tuple[int, int, int], to: str) -> None:
        """Put what stands at one layer into another metric, where there is such one."""
        if (kind, name) in self._numbers and (kind, to) in self._numbers:
            has_layers = self._numbers[kind, to].ndim == len(at)
            self.put(kind, to, at if has_layers else (at[0], at[2]), self.get(kind, name, at))

    def get(self, kind: str, name: str, at: tuple[int, ...]) -> float:
        """Return one number, NaN where there is none."""
        return float(self._array(kind, name, len(at))[at])

    def say(self, name: str, at: tuple[int, int, int], words: str) -> None:
        """Write the words of a cell."""
        self._texts[name][at] = words

    def measured(self) -> Measured:
        """Return the arrays as a probe gives them."""
        kinds: dict[str, dict[str, Any]] = {}
        for (kind, name), x in self._numbers.items():
            kinds.setdefault(kind, {})[name] = x
        values = kinds.pop(VALUE)
        return Measured(values=values, controls=kinds, texts=self._texts)

    def _array(self, kind: str, name: str, n_axes: int) -> NDArray[np.float64]:
        shape = self._shape if n_axes == 3 else (self._shape[0], self._shape[2])
        return self._numbers.setdefault((kind, name), np.full(shape, np.nan))
