"""Every state read in every way, written out, and set beside its controls."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.methods.contracts import Context
from workbench.training.codec import Decoded

ACTUAL, RANDOM, SWAPPED = "actual", "random", "swapped"
Way = Callable[[int, Tensor], Tensor]


@runtime_checkable
class Writer(Protocol):
    """The part of a codec that the lens needs."""

    def decode(
        self, vectors: Float[Tensor, "batch d_model"], *, limit: int = ..., nearest: int = ...
    ) -> list[Decoded]:
        """Write the sentence of each vector."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one vector was written as.

    `place` is the number of the sentence or step whose state it is, `target` that of the one it is
    shown for; they differ in the control that shows another sentence's state. `cosine` is that
    between the vector and the codec's own vector of the target.
    """

    way: str
    kind: str
    layer: int
    place: int
    target: int
    written: Decoded
    cosine: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Reader:
    """Reads states through every way and has the codec write them.

    `targets` are the codec's own vectors of the sentences; `layers` name the second axis.
    """

    writer: Writer
    ways: Mapping[str, Way]
    layers: Sequence[int]
    targets: Float[Tensor, "n d_model"]
    limit: int = 48
    controls: int = 4
    at_once: int = 256

    def read(
        self, states: Float[Tensor, "n layer d_model"], others: Sequence[int], context: Context
    ) -> dict[str, Any]:
        """Return the states with their layers and what `cells` reads from them."""
        cells = self.cells(states, others, context)
        return {"cells": cells, "states": states, "layers": self.layers}

    def cells(
        self, states: Float[Tensor, "n layer d_model"], others: Sequence[int], context: Context
    ) -> list[Cell]:
        """Write all states, random vectors for some of them, and show other sentences' states.

        `others[i]` is the sentence whose state stands in for that of sentence i; nothing is
        written twice for it.
        """
        asked: list[tuple[str, str, int, int]] = []
        vectors: list[Tensor] = []
        noise = self._noise(states, context)
        for way, read in self.ways.items():
            for at, layer in enumerate(self.layers):
                for kind, given in ((ACTUAL, states[:, at]), (RANDOM, noise[:, at])):
                    asked += [(way, kind, layer, place) for place in range(len(given))]
                    vectors.append(read(layer, given))
        flat = torch.cat(vectors)
        written = self._write(flat, context)
        cosines = torch.cosine_similarity(
            flat, self.targets[[a[3] for a in asked]].to(flat), dim=-1
        )
        found = [
            Cell(way=a[0], kind=a[1], layer=a[2], place=a[3], target=a[3], written=w, cosine=c)
            for a, w, c in zip(asked, written, cosines.tolist(), strict=True)
        ]
        return [*found, *self._swapped(found, flat, others)]

    def _noise(
        self, states: Float[Tensor, "n layer d_model"], context: Context
    ) -> Float[Tensor, "m layer d_model"]:
        """Return random vectors as long as the first few states."""
        some = states[: self.controls]
        draw = context.stream("sentence lens controls").standard_normal(tuple(some.shape))
        noise: Tensor = torch.from_numpy(draw).float()
        longer: Tensor = some.norm(dim=-1) / noise.norm(dim=-1)
        return noise * longer[..., None]

    def _write(self, vectors: Float[Tensor, "n d_model"], context: Context) -> list[Decoded]:
        written: list[Decoded] = []
        for some in vectors.split(self.at_once):
            context.progress(len(written), len(vectors), "states written as sentences")
            written += self.writer.decode(some, limit=self.limit, nearest=1)
        context.progress(len(written), len(vectors), "states written as sentences")
        return written

    def _swapped(
        self, found: Sequence[Cell], vectors: Float[Tensor, "n d_model"], others: Sequence[int]
    ) -> list[Cell]:
        mine = {
            (cell.way, cell.layer, cell.place): (cell, vector)
            for cell, vector in zip(found, vectors, strict=True)
            if cell.kind == ACTUAL
        }
        swapped = []
        for (way, layer, place), _ in mine.items():
            other, vector = mine[way, layer, others[place]]
            if other.place != place:
                target = self.targets[place].to(vector)
                swapped.append(
                    Cell(
                        way=way,
                        kind=SWAPPED,
                        layer=layer,
                        place=other.place,
                        target=place,
                        written=other.written,
                        cosine=float(torch.cosine_similarity(vector, target, dim=-1)),
                    )
                )
        return swapped


def partners(texts: Sequence[int], generator: np.random.Generator) -> list[int]:
    """Return for each sentence another one, of another text where there is one.

    The same draw for every layer and way, so that rows of the grid can be compared.
    """
    found = []
    for i, text in enumerate(texts):
        far = [j for j, other in enumerate(texts) if other != text]
        near = [j for j in range(len(texts)) if j != i]
        choice = far or near or [i]
        found.append(int(choice[int(generator.integers(len(choice)))]))
    return found
