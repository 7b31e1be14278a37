"""What traces contribute: which tokens count, and which text and unit each belongs to."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from jaxtyping import Bool, Int64, UInt64
from numpy.typing import NDArray

from workbench.methods.contracts import Example
from workbench.model.tokens import Tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """The tokens of one trace that count, in reading order, and where they lie in it.

    `rows` number the places of the whole batch, padding included; `sizes` holds one number per
    example, 0 where none of its tokens counts.
    """

    rows: Int64[np.ndarray, " n"]
    sizes: Int64[np.ndarray, " example"]
    positions: Int64[np.ndarray, " n"]
    token_ids: Int64[np.ndarray, " n"]
    examples: tuple[Example, ...]

    @classmethod
    def of(cls, tokens: Tokens, examples: Sequence[Example], *, exclude_first: bool) -> "Counted":
        """Leave out padding and, if asked, first tokens."""
        place = tokens.position_ids.cpu()
        keep = tokens.mask.cpu() & (place > 0) if exclude_first else tokens.mask.cpu()
        sizes = keep.sum(dim=1).numpy()
        rows = np.flatnonzero(keep.numpy().ravel())
        first_rows = np.array([_first_row(e) for e in examples], dtype=np.int64)
        return cls(
            rows=rows,
            sizes=sizes,
            positions=place.numpy().ravel()[rows] + np.repeat(first_rows, sizes),
            token_ids=tokens.ids.cpu().numpy().ravel()[rows],
            examples=tuple(examples),
        )

    def __len__(self) -> int:
        """Return the number of counted tokens."""
        return len(self.rows)

    def describe(self, row: int) -> str:
        """Name one counted token for an error message."""
        example = int(np.searchsorted(np.cumsum(self.sizes), row, side="right"))
        return f"{_name(self.examples[example])} {int(self.positions[row])}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The counted tokens of some consecutive examples.

    A run is the counted part of one example, at least one token. Runs are ordered by covariance
    group, so that each group's tokens lie together; `stream_order` puts them back in reading
    order, and `rows` is the place of each token in reading order. `keys` identify the text of a
    run, `continues` says whether the next run may belong to the same text, `units` name the
    resampling unit.
    """

    rows: Int64[np.ndarray, " n"]
    sizes: Int64[np.ndarray, " run"]
    groups: Int64[np.ndarray, " run"]
    keys: Int64[np.ndarray, " run"]
    continues: Bool[np.ndarray, " run"]
    units: Int64[np.ndarray, " run"]
    stream_order: Int64[np.ndarray, " run"]
    token_ids: Int64[np.ndarray, " n"]
    priorities: UInt64[np.ndarray, " n"]

    @classmethod
    def of(cls, parts: Sequence[Counted], *, n_groups: int, seed: int) -> "Batch":
        """Join what consecutive traces contribute and order it by group."""
        sizes = np.concatenate([part.sizes for part in parts])
        chosen = np.flatnonzero(sizes)
        every = [example for part in parts for example in part.examples]
        examples = [every[int(i)] for i in chosen]
        units = np.array([_unit(e) for e in examples], dtype=np.int64)
        groups = units % max(n_groups, 1)
        order = np.argsort(groups, kind="stable")
        run = np.repeat(np.arange(len(chosen)), sizes[chosen])
        rows = np.argsort(groups[run], kind="stable")
        run = run[rows]
        positions = np.concatenate([part.positions for part in parts])[rows]
        keys = np.array([_content(e, seed) for e in examples], dtype=np.uint64)
        texts = np.array([_hash(e.source, e.group, e.text) for e in examples], dtype=np.int64)
        continues = np.array([not e.text for e in examples], dtype=bool)
        return cls(
            rows=rows,
            sizes=sizes[chosen][order],
            groups=groups[order],
            keys=texts[order],
            continues=continues[order],
            units=units[order],
            stream_order=np.argsort(order, kind="stable"),
            token_ids=np.concatenate([part.token_ids for part in parts])[rows],
            priorities=_priorities(keys[run], positions),
        )

    def __len__(self) -> int:
        """Return the number of counted tokens."""
        return len(self.priorities)

    @property
    def run_of_row(self) -> Int64[np.ndarray, " n"]:
        """The run each counted token belongs to."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)

    @property
    def group_bounds(self) -> list[tuple[int, int, int]]:
        """Each group present, with the first and the last-plus-one of its tokens."""
        of_row = self.groups[self.run_of_row]
        present = np.unique(of_row)
        starts = np.searchsorted(of_row, present, side="left")
        ends = np.searchsorted(of_row, present, side="right")
        return [(int(g), int(a), int(b)) for g, a, b in zip(present, starts, ends, strict=True)]


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
