"""A uniform sample of tokens, the same for every cut, merge and order of the data."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt64
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Origins:
    """Where tokens come from: their priority, text, unit and vocabulary entry."""

    priorities: UInt64[np.ndarray, " n"]
    texts: Int64[np.ndarray, " n"]
    units: Int64[np.ndarray, " n"]
    token_ids: Int64[np.ndarray, " n"]

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.priorities)

    def take(self, rows: NDArray[np.intp]) -> "Origins":
        """Return some of the tokens."""
        return Origins(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def then(self, other: "Origins") -> "Origins":
        """Return these tokens followed by others."""
        pairs = {f.name: [getattr(o, f.name) for o in (self, other)] for f in fields(self)}
        return Origins(**{name: np.concatenate(pair) for name, pair in pairs.items()})


_NONE = Origins(
    priorities=np.zeros(0, dtype=np.uint64),
    texts=np.zeros(0, dtype=np.int64),
    units=np.zeros(0, dtype=np.int64),
    token_ids=np.zeros(0, dtype=np.int64),
)


class Reservoir:
    """Keeps the tokens with the lowest hashed priority, hence a uniform sample.

    The priority of a token depends on the seed, on what its text says and on its position only,
    never on where the text was read. Vectors are kept in float32, which is what models give, where
    the activations are.

    Source: bottom-k sampling, Cohen & Kaplan 2007.
    """

    def __init__(self, n_sites: int, d_model: int, capacity: int, device: torch.device) -> None:
        """Begin empty; memory is touched only as tokens arrive."""
        self.capacity = capacity
        self.origins = _NONE
        self._x = torch.empty(n_sites, capacity, d_model, device=device)

    def entering(self, offered: Origins) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Take in where tokens come from; return which of them are kept, and at which places.

        Their vectors must be written to these places next.
        """
        size = len(self.origins)
        every = self.origins.then(offered)
        kept = np.sort(np.argsort(every.priorities, kind="stable")[: self.capacity])
        new, stay = kept[kept >= size], kept[kept < size]
        free = np.setdiff1d(np.arange(min(len(every), self.capacity)), stay)
        rows = np.arange(min(len(every), self.capacity))
        rows[free] = new
        self.origins = every.take(rows)
        return new - size, free

    def write(
        self, at: slice, places: NDArray[np.intp], x: Float32[Tensor, "layer n d_model"]
    ) -> None:
        """Write the vectors of some layers to their places."""
        self._x[at].index_copy_(1, torch.from_numpy(places).to(x.device), x)

    def sample(self) -> tuple[Origins, Float32[Tensor, "layer n d_model"]]:
        """Return what is kept, lowest priority first."""
        order = np.argsort(self.origins.priorities, kind="stable")
        index = torch.from_numpy(order).to(self._x.device)
        return self.origins.take(order), self._x.index_select(1, index)

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add the tokens of a state of other data."""
        theirs = Origins(**{f.name: arrays[f"reservoir.{f.name}"] for f in fields(Origins)})
        kept, places = self.entering(theirs)
        if len(kept):
            x = torch.from_numpy(np.asarray(arrays["reservoir.x"])[:, kept]).to(self._x.device)
            self.write(slice(None), places, x)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        self.origins = _NONE
        self.merge(arrays)
