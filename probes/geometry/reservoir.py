"""A uniform sample of tokens, the same for every cut, merge and order of the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt64
from numpy.typing import NDArray

_COLUMNS = ("priorities", "texts", "units", "token_ids")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampled:
    """Tokens offered to, or kept by, the reservoir: vectors of every layer and where from."""

    x: Float32[np.ndarray, "layer n d_model"]
    priorities: UInt64[np.ndarray, " n"]
    texts: Int64[np.ndarray, " n"]
    units: Int64[np.ndarray, " n"]
    token_ids: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.priorities)

    def take(self, rows: Sequence[int] | NDArray[np.intp]) -> "Sampled":
        """Return some of the tokens."""
        columns = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "x"}
        return Sampled(x=self.x[:, rows], **columns)


class Reservoir:
    """Keeps the tokens with the lowest hashed priority, hence a uniform sample.

    The priority of a token depends on the seed, on what its text says and on its position only,
    never on where the text was read. Vectors are
    kept in float32, which is what models give.

    Source: bottom-k sampling, Cohen & Kaplan 2007.
    """

    def __init__(self, n_sites: int, d_model: int, capacity: int) -> None:
        """Begin empty; memory is touched only as tokens arrive."""
        self.capacity = capacity
        self.size = 0
        self._x = np.empty((n_sites, capacity, d_model), dtype=np.float32)
        self._columns = {
            name: np.zeros(capacity, dtype=np.uint64 if name == "priorities" else np.int64)
            for name in _COLUMNS
        }

    def wanted(self, priorities: UInt64[np.ndarray, " n"]) -> NDArray[np.intp]:
        """Return which of the offered tokens would be kept."""
        kept = self._columns["priorities"][: self.size]
        everything = np.concatenate([kept, priorities])
        if len(everything) <= self.capacity:
            return np.arange(len(priorities))
        threshold = np.partition(everything, self.capacity - 1)[self.capacity - 1]
        return np.flatnonzero(priorities <= threshold)

    def insert(self, new: Sampled) -> None:
        """Take tokens that `wanted` chose, giving up the ones they displace."""
        room = self.capacity - self.size
        places = np.arange(self.size, self.size + min(room, len(new)))
        if len(new) > room:
            kept = self._columns["priorities"][: self.size]
            everything = np.concatenate([kept, new.priorities])
            order = np.argsort(everything, kind="stable")[: self.capacity]
            stay = np.zeros(self.size, dtype=bool)
            stay[order[order < self.size]] = True
            entering = np.sort(order[order >= self.size]) - self.size
            new = new if len(entering) == len(new) else new.take(entering)
            places = np.concatenate([np.flatnonzero(~stay), places])[: len(new)]
        self._x[:, places] = new.x
        for name, column in self._columns.items():
            column[places] = getattr(new, name)
        self.size = min(self.size + len(new), self.capacity) if room else self.size

    def sample(self) -> Sampled:
        """Return what is kept, lowest priority first."""
        order = np.argsort(self._columns["priorities"][: self.size], kind="stable")
        columns = {name: column[order] for name, column in self._columns.items()}
        return Sampled(x=self._x[:, order], **columns)

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add the tokens of a state of other data."""
        theirs = _sampled(arrays)
        self.insert(theirs.take(self.wanted(theirs.priorities)))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the whole state in canonical order."""
        sample = self.sample()
        return {f"reservoir.{f.name}": getattr(sample, f.name) for f in fields(sample)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        self.size = 0
        self.insert(_sampled(arrays))


def _sampled(arrays: Mapping[str, NDArray[Any]]) -> Sampled:
    return Sampled(**{f.name: arrays[f"reservoir.{f.name}"] for f in fields(Sampled)})
