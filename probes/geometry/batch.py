"""What one trace contributes: which tokens count, and which text and unit each belongs to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt64
from numpy.typing import NDArray
from torch import Tensor

from workbench.methods.contracts import Example
from workbench.model.tokens import Tokens

SLAB_ROWS = 8192


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The counted tokens of some consecutive examples.

    A run is the counted part of one example, at least one token. Runs are ordered by covariance
    group, so that each group's tokens lie together; `stream_order` puts them back in reading
    order. `keys` identify the text of a run, `continues` says whether the next run may belong to
    the same text, `units` name the resampling unit.
    """

    rows: Int64[Tensor, " n"]
    sizes: Int64[np.ndarray, " run"]
    groups: Int64[np.ndarray, " run"]
    keys: Int64[np.ndarray, " run"]
    continues: Bool[np.ndarray, " run"]
    units: Int64[np.ndarray, " run"]
    stream_order: Int64[np.ndarray, " run"]
    names: tuple[str, ...]
    positions: Int64[np.ndarray, " n"]
    token_ids: Int64[np.ndarray, " n"]
    priorities: UInt64[np.ndarray, " n"]
    n_empty: int

    def __len__(self) -> int:
        """Return the number of counted tokens."""
        return len(self.priorities)

    @property
    def run_of_row(self) -> Int64[np.ndarray, " n"]:
        """The run each counted token belongs to."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    def describe(self, row: int) -> str:
        """Name one counted token for an error message."""
        return f"{self.names[self.run_of_row[row]]} {int(self.positions[row])}"

    def first_in_stream(self, rows: Int64[np.ndarray, " bad"]) -> int:
        """Return which of these counted tokens comes first in reading order."""
        place = np.argsort(self.stream_order)[self.run_of_row[rows]]
        return int(rows[np.lexsort((rows, place))[0]])

    @property
    def group_bounds(self) -> list[tuple[int, int, int]]:
        """Each group present, with the first and the last-plus-one of its tokens."""
        of_row = self.groups[self.run_of_row]
        present = np.unique(of_row)
        starts = np.searchsorted(of_row, present, side="left")
        ends = np.searchsorted(of_row, present, side="right")
        return [(int(g), int(a), int(b)) for g, a, b in zip(present, starts, ends, strict=True)]


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchReader:
    """Cuts one trace into batches of at most a few thousand tokens, in reading order."""

    tokens: Tokens
    examples: Sequence[Example]
    keep: Bool[Tensor, "batch pos"]
    n_groups: int
    seed: int

    def read(self) -> Iterator[Batch]:
        """Yield the batches."""
        sizes = self.keep.sum(dim=1).numpy()
        low = 0
        while low < len(sizes):
            total = np.cumsum(sizes[low:])
            high = low + max(1, int(np.searchsorted(total, SLAB_ROWS, side="right")))
            yield self._cut(low, sizes[low:high])
            low = high

    def _cut(self, low: int, sizes: Int64[np.ndarray, " example"]) -> Batch:
        chosen = np.flatnonzero(sizes)
        examples = [self.examples[low + int(i)] for i in chosen]
        units = np.array([_unit(e) for e in examples], dtype=np.int64)
        groups = units % max(self.n_groups, 1)
        order = np.argsort(groups, kind="stable")
        rows = np.flatnonzero(self.keep[low : low + len(sizes)].numpy().ravel())
        run = np.repeat(np.arange(len(chosen)), sizes[chosen])
        by_group = np.argsort(groups[run], kind="stable")
        rows, run = rows[by_group] + low * self.keep.shape[1], run[by_group]
        first_rows = np.array([_first_row(e) for e in examples], dtype=np.int64)
        positions = self.tokens.position_ids.cpu().numpy().ravel()[rows] + first_rows[run]
        keys = np.array([_key(e, self.seed) for e in examples], dtype=np.uint64)
        texts = np.array([_key(e) for e in examples], dtype=np.int64)
        continues = np.array([not e.text for e in examples], dtype=bool)
        return Batch(
            rows=torch.from_numpy(rows),
            sizes=sizes[chosen][order],
            groups=groups[order],
            keys=texts[order],
            continues=continues[order],
            units=units[order],
            stream_order=np.argsort(order, kind="stable"),
            names=tuple(_name(examples[int(j)]) for j in order),
            positions=positions,
            token_ids=self.tokens.ids.cpu().numpy().ravel()[rows],
            priorities=_priorities(keys[run], positions),
            n_empty=len(sizes) - len(chosen),
        )


def read_batches(
    tokens: Tokens, examples: Sequence[Example], *, exclude_first: bool, n_groups: int, seed: int
) -> Iterator[Batch]:
    """Yield what one trace contributes, without padding and, if asked, without first tokens."""
    mask = tokens.mask.cpu()
    keep = mask & (tokens.position_ids.cpu() > 0) if exclude_first else mask
    reader = BatchReader(tokens=tokens, examples=examples, keep=keep, n_groups=n_groups, seed=seed)
    return reader.read()


def _unit(example: Example) -> int:
    """Return the resampling unit of an example, whatever the order of the data.

    Rows of an array may name theirs; examples of one group share a unit; any other text is a
    unit of its own, named by its hash.
    """
    if not example.text and "unit" in example.fields:
        return int(example.fields["unit"])
    return _hash("group", example.group) if example.group else _key(example)


def _first_row(example: Example) -> int:
    return 0 if example.text else int(example.fields.get("row", 0))


def _key(example: Example, seed: int = 0) -> int:
    return _hash(str(seed), example.source, example.group, example.text)


def _hash(*parts: str) -> int:
    """Hash words to a positive 63-bit number."""
    digest = blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "little") >> 1 or 1


def _name(example: Example) -> str:
    source = example.source or repr(example.text[:40])
    return f"{source}, token" if example.text else f"{source}, row"


def _priorities(
    keys: UInt64[np.ndarray, " n"], positions: Int64[np.ndarray, " n"]
) -> UInt64[np.ndarray, " n"]:
    """Mix a text's hash with token positions (SplitMix64), the same for any cut of the data."""
    z = keys + (positions.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
