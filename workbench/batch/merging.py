"""The shards of a plan joined, in order, into one result per probe."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.batch.shards import Manifest, shard_path
from workbench.errors import TooLittleData
from workbench.methods.contracts import Accumulator, Context
from workbench.result.result import Note, Result
from workbench.runs.counting import start

_DTYPES = {
    "BOOL": "?",
    **{f"U{8 * n}": f"<u{n}" for n in (1, 2, 4, 8)},
    **{f"I{8 * n}": f"<i{n}" for n in (1, 2, 4, 8)},
    **{f"F{8 * n}": f"<f{n}" for n in (2, 4, 8)},
}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The files of one probe, one per shard that holds a good row, first shard first."""

    paths: tuple[Path, ...]
    n_cut: int
    limit: int

    @classmethod
    def of(cls, folder: Path, key: str, manifests: Sequence[Manifest], *, limit: int) -> "Parts":
        """Find the files of the probe with that key."""
        return cls(
            paths=tuple(
                shard_path(folder, m.shard) / f"{key}.safetensors" for m in manifests if m.n_good
            ),
            n_cut=sum(m.n_cut for m in manifests),
            limit=limit,
        )


def merge(recipe: Any, parts: Parts, context: Context) -> Result:
    """Join the states of all shards and ask for their result.

    Raises:
        TooLittleData: no row of any shard could be used.
        WorkbenchError: the probe cannot use these rows.
    """
    if not parts.paths:
        raise TooLittleData("no row could be used", hint="see quarantine.jsonl")
    result = joined(recipe, parts, context).result(context)
    if not parts.n_cut:
        return result
    note = Note(f"{parts.n_cut} texts were cut to {parts.limit} tokens", "warning", "cut")
    return replace(result, notes=(*result.notes, note))


def joined(recipe: Any, parts: Parts, context: Context) -> Accumulator:
    """Join the states of all shards, holding as little of each as the method allows."""
    accumulator = start(recipe, context)
    for path in parts.paths:
        accumulator.merge(StoredArrays(path))
    return accumulator


class StoredArrays(Mapping[str, NDArray[Any]]):
    """The arrays of a safetensors file, each read when asked for and not kept.

    A memory map would count every page that was touched until the file is closed.
    """

    def __init__(self, path: Path) -> None:
        """Read where each array lies."""
        self._path = path
        with path.open("rb") as file:
            n_bytes = int.from_bytes(file.read(8), "little")
            self._header = json.loads(file.read(n_bytes))
        self._header.pop("__metadata__", None)
        self._start = 8 + n_bytes

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read one array."""
        about = self._header[name]
        first, end = about["data_offsets"]
        dtype = np.dtype(_DTYPES[about["dtype"]])
        n = (end - first) // dtype.itemsize
        found = np.fromfile(self._path, dtype=dtype, count=n, offset=self._start + first)
        return found.reshape(about["shape"])

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._header)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self._header)
