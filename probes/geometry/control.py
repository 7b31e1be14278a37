"""One control: what data without the effect gives, and how much that varies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from probes.geometry.spectrum import Undefined, Value


@dataclass(frozen=True, kw_only=True)
class Null:
    """What isotropic data gives: the mean and the spread of one value, over `draws` (0: exact)."""

    value: float
    sd: float | None = None
    draws: int = 0

    @classmethod
    def over(cls, values: Sequence[Value]) -> "Null | None":
        """Average the values that are defined; None when none is."""
        known = [v for v in values if not isinstance(v, Undefined)]
        if not known:
            return None
        sd = float(np.std(known, ddof=1)) if len(known) > 1 else None
        return cls(value=float(np.mean(known)), sd=sd, draws=len(known))

    def mapped(self, function: Callable[[float], float]) -> "Null":
        """Return an increasing function of the value; the spread follows its slope."""
        if self.sd is None:
            return Null(value=function(self.value), draws=self.draws)
        ends = function(self.value + self.sd), function(self.value - self.sd)
        return Null(value=function(self.value), sd=abs(ends[0] - ends[1]) / 2, draws=self.draws)

    def __str__(self) -> str:
        """Write how it was found."""
        told = f"mean of {self.draws} draw{'s' * (self.draws != 1)}" if self.draws else "exact"
        return told if self.sd is None else f"{told}, sd {self.sd:.2g}"
