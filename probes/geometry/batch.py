"""What traces contribute: which tokens count, and which text and unit each belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt64
from numpy.typing import NDArray

from probes.geometry.reservoir import Origins
from workbench.methods.contracts import Example
from workbench.model.tokens import Tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The counted tokens of some consecutive traces.

    A run is the counted part of one example, at least one token. Runs are ordered by covariance
    group, so that each group's tokens lie together; `stream_order` puts them back in reading
    order. `places` say where each token stands among all places of the traces laid end to end,
    padding included. `keys` identify the text of a run that the next run may continue, 0 else.
    `n_empty` examples have no token that counts.
    """

    places: Int64[np.ndarray, " n"]
    positions: Int64[np.ndarray, " n"]
    sizes: Int64[np.ndarray, " run"]
    groups: Int64[np.ndarray, " run"]
    keys: Int64[np.ndarray, " run"]
    units: Int64[np.ndarray, " run"]
    stream_order: Int64[np.ndarray, " run"]
    examples: tuple[Example, ...]
    origins: Origins
    n_empty: int

    @classmethod
    def of(
        cls,
        parts: Sequence[tuple[Tokens, Sequence[Example]]],
        *,
        exclude_first: bool,
        n_groups: int,
        seed: int,
    ) -> "Batch":
        """Join traces, leave out padding and, if asked, first tokens, and order by group."""
        sizes, places, positions = _counted([tokens for tokens, _ in parts], exclude_first)
        every = [example for _, examples in parts for example in examples]
        chosen, n_groups = np.flatnonzero(sizes), max(n_groups, 1)
        units = np.array([_unit(every[i]) for i in chosen], dtype=np.int64)
        order = np.argsort(units % n_groups, kind="stable")
        examples = tuple(every[i] for i in chosen[order])
        sizes, units = sizes[chosen], units[order]
        starts, sizes = np.concatenate([[0], np.cumsum(sizes)])[order], sizes[order]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows = np.repeat(starts, sizes) + within
        first = np.array([_first_row(e) for e in examples], dtype=np.int64)
        texts = np.array([_hash(e.source, e.group, e.text) for e in examples], dtype=np.int64)
        contents = np.array([_content(e, seed) for e in examples], dtype=np.uint64)
        positions = positions[rows] + np.repeat(first, sizes)
        ids = torch.cat([tokens.ids.flatten() for tokens, _ in parts]).cpu().numpy()
        return cls(
            places=places[rows],
            positions=positions,
            sizes=sizes,
            groups=units % n_groups,
            keys=np.where([not e.text for e in examples], texts, 0),
            units=units,
            stream_order=np.argsort(order, kind="stable"),
            examples=examples,
            origins=Origins(
                priorities=_priorities(np.repeat(contents, sizes), positions),
                texts=np.repeat(texts, sizes),
                units=np.repeat(units, sizes),
                token_ids=ids[places[rows]],
            ),
            n_empty=len(every) - len(chosen),
        )

    def __len__(self) -> int:
        """Return the number of counted tokens."""
        return len(self.places)

    @property
    def group_bounds(self) -> list[tuple[int, int, int]]:
        """Each group present, with the first and the last-plus-one of its tokens."""
        present, first = np.unique(self.groups, return_index=True)
        ends = np.concatenate([np.cumsum(self.sizes) - self.sizes, [len(self)]])
        starts = ends[[*first, len(self.groups)]]
        bounds = zip(present, pairwise(starts.tolist()), strict=True)
        return [(int(g), a, b) for g, (a, b) in bounds]

    def describe(self, row: int) -> str:
        """Name one counted token for an error message."""
        example = self.examples[int(np.searchsorted(np.cumsum(self.sizes), row, side="right"))]
        source = example.source or repr(example.text[:40])
        return f"{source}, {'token' if example.text else 'row'} {int(self.positions[row])}"


def _counted(
    tokens: Sequence[Tokens], exclude_first: bool
) -> tuple[Int64[np.ndarray, " example"], Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return how many tokens of each example count, their places and their positions."""
    flat = torch.cat([one.mask.flatten() for one in tokens]).cpu().numpy()
    ends = np.cumsum([0, *(one.mask.numel() for one in tokens)])
    sizes, keeps, positions = [], [], []
    for one, (a, b) in zip(tokens, pairwise(ends.tolist()), strict=True):
        mask: Bool[np.ndarray, "batch pos"] = flat[a:b].reshape(one.mask.shape)
        position = mask.cumsum(axis=1) - 1
        keep = mask & (position > 0) if exclude_first else mask
        sizes.append(keep.sum(axis=1))
        keeps.append(keep.ravel())
        positions.append(position.ravel())
    places = np.flatnonzero(np.concatenate(keeps))
    return np.concatenate(sizes), places, np.concatenate(positions)[places]


def _unit(example: Example) -> int:
    """Return the resampling unit of an example, whatever the order of the data.

    Rows of an array may name theirs; examples of one group share a unit; any other text is a
    unit of its own, named by the hash of what it says; copies of a text are one unit.
    """
    if not example.text and "unit" in example.fields:
        return int(example.fields["unit"])
    return _hash("group", example.group) if example.group else _content(example)


def _first_row(example: Example) -> int:
    return 0 if example.text else int(example.fields.get("row", 0))


def _content(example: Example, seed: int = 0) -> int:
    """Hash what an example says, never where it was read, so that names decide nothing."""
    return _hash(str(seed), str(example.label), example.group, example.text)


def _hash(*parts: str) -> int:
    """Hash words to a positive 63-bit number."""
    digest = blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little") >> 1 or 1


def _priorities(
    keys: UInt64[np.ndarray, " n"], positions: Int64[np.ndarray, " n"]
) -> UInt64[np.ndarray, " n"]:
    """Mix a text's hash with token positions (SplitMix64), the same for any cut of the data."""
    z = keys + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
