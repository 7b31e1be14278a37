"""The shards of a plan joined, in order, into one result per probe."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from workbench.batch.shards import Manifest, shard_path
from workbench.errors import TooLittleData
from workbench.methods.contracts import Context, ReadoutProbe, Tally
from workbench.methods.evaluate import Evaluation, evaluate
from workbench.methods.labels import Labelled
from workbench.model.sites import Site
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
    """Join the tallies of all shards and ask them for their result.

    A readout probe's vectors stay on disk; only those of one site are in memory at a time.

    Raises:
        TooLittleData: no row of any shard could be used.
        WorkbenchError: the probe cannot use these rows.
    """
    if not parts.paths:
        raise TooLittleData("no row could be used", hint="see quarantine.jsonl")
    result = (
        _evaluated(recipe, parts, context)
        if isinstance(recipe, ReadoutProbe)
        else joined(recipe, parts, context).result(context)
    )
    if not parts.n_cut:
        return result
    note = Note(f"{parts.n_cut} texts were cut to {parts.limit} tokens", "warning", "cut")
    return replace(result, notes=(*result.notes, note))


def joined(recipe: Any, parts: Parts, context: Context) -> Tally:
    """Join the tallies of a measure over all shards, holding as little of each as it allows."""
    tally = start(recipe, context)
    tally.restore(StoredArrays(parts.paths[0]))
    for path in parts.paths[1:]:
        arrays = StoredArrays(path)
        if isinstance(tally, Absorbing):
            tally.absorb(arrays)
        else:
            part = start(recipe, context)
            part.restore(arrays)
            tally.merge(part)
    return tally


def _evaluated(recipe: Any, parts: Parts, context: Context) -> Result:
    if context.spec is None:
        raise TooLittleData("a readout needs the model that its vectors come from")
    sites = tuple(site.resolve(context.spec) for site in recipe.sites(context.spec))
    vectors = StoredVectors(parts.paths, sites)
    return evaluate(recipe, vectors, vectors.rows(), context, Evaluation())


@runtime_checkable
class Absorbing(Protocol):
    """A tally that joins the state of data that came after piece by piece."""

    def absorb(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add a state that another tally's `arrays` returned; each array is asked for once."""


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


class StoredVectors(Mapping[Site, NDArray[np.float32]]):
    """The vectors of a readout probe by site, read from the shards when asked for."""

    def __init__(self, paths: Sequence[Path], sites: Sequence[Site]) -> None:
        """Name the files, in order, and the sites that each of them holds."""
        self._paths, self._sites = tuple(paths), tuple(sites)

    def __getitem__(self, site: Site) -> NDArray[np.float32]:
        """Join one site's vectors over the shards."""
        return np.concatenate([self._read(path, f"x/{site}") for path in self._paths])

    def __iter__(self) -> Iterator[Site]:
        """Yield the sites in the order of the probe."""
        return iter(self._sites)

    def __len__(self) -> int:
        """Return the number of sites."""
        return len(self._sites)

    def rows(self) -> list[Labelled]:
        """Return labels and groups in the order of the vectors."""
        return [
            Labelled(**row)
            for path in self._paths
            for row in json.loads(self._read(path, "rows").tobytes())
        ]

    @staticmethod
    def _read(path: Path, name: str) -> NDArray[Any]:
        with safe_open(path, framework="np") as file:
            found: NDArray[Any] = file.get_tensor(name)
        return found
