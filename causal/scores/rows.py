"""Scores split by domain: what every step of the hierarchical fit works on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import UnknownName

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class DomainRows:
    """One block of rows per domain; the columns are the benchmarks, in their own units."""

    names: tuple[str, ...]
    benchmarks: tuple[str, ...]
    blocks: tuple[Float[np.ndarray, "_ d"], ...]

    def __len__(self) -> int:
        """Return the number of domains."""
        return len(self.names)

    @property
    def counts(self) -> tuple[int, ...]:
        """Rows per domain."""
        return tuple(len(block) for block in self.blocks)

    @property
    def pooled(self) -> Float[np.ndarray, "n d"]:
        """All rows, domain after domain."""
        return np.concatenate(self.blocks)

    def select(self, names: Sequence[str]) -> "DomainRows":
        """Keep the named domains, in the order given.

        Raises:
            UnknownName: a name is no domain.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise UnknownName(
                f"no domain {', '.join(map(repr, missing))}; there are {', '.join(self.names)}",
                hint="`tables.domains` of a fit lists them with their row counts",
            )
        blocks = tuple(self.blocks[self.names.index(name)] for name in names)
        return DomainRows(names=tuple(names), benchmarks=self.benchmarks, blocks=blocks)

    def replace(self, blocks: Sequence[Float[np.ndarray, "_ d"]]) -> "DomainRows":
        """Keep the names and change the rows."""
        return DomainRows(names=self.names, benchmarks=self.benchmarks, blocks=tuple(blocks))

    def resample(self, generator: np.random.Generator) -> "DomainRows":
        """Draw rows with replacement within every domain."""
        return self.replace([b[generator.integers(0, len(b), size=len(b))] for b in self.blocks])

    def shuffle(self, generator: np.random.Generator) -> "DomainRows":
        """Deal the pooled rows out to domains of the same sizes at random."""
        rows = self.pooled[generator.permutation(sum(self.counts))]
        return self.replace(np.split(rows, np.cumsum(self.counts)[:-1]))
