"""Activations that a batch kept, read back row by row without loading the rest."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from workbench.batch.folder import PLAN, batch_folder
from workbench.batch.keeping import INDEX, VECTORS
from workbench.batch.shards import shard_path, unsealed
from workbench.errors import CorruptRun, RunNotFound, UnknownName
from workbench.model.sites import Site
from workbench.runs.run import Run
from workbench.runs.store import Store


def open(run: Run | Path | str, *, store: Store | None = None) -> "ActivationStore":
    """Open the activations beside a run, by the run, its id, the batch's name or its folder.

    Raises:
        RunNotFound: there is no such batch, or it kept no activations.
    """
    return ActivationStore(_folder(run, store))


class ActivationStore:
    """The kept sites by address; `index` has one row per text, in the order of the data."""

    def __init__(self, folder: Path) -> None:
        """Read the index of a batch folder; no activation is read.

        Raises:
            RunNotFound: the folder holds no activations.
        """
        self.folder = folder
        if not (folder / INDEX).is_file():
            raise RunNotFound(
                f"{folder} holds no activations",
                hint="name sites under [keep] in the plan, and let the batch finish",
            )
        self.index = pd.read_parquet(folder / INDEX)
        self._files: dict[int, Any] = {}

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """The sites that were kept."""
        names: list[str] = self._file(int(self._shards[0])).keys()
        return tuple(Site.parse(name) for name in names)

    @cached_property
    def _shards(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        return self.index["shard"].to_numpy(dtype=np.int64)

    def __getitem__(self, site: Site | str) -> "SiteRows":
        """Return one site's rows.

        Raises:
            UnknownName: it was not kept.
        """
        wanted = Site.parse(site) if isinstance(site, str) else site
        last = max((s.layer or 0 for s in self.sites), default=0)
        if wanted not in self.sites:
            kept = ", ".join(map(str, self.sites))
            raise UnknownName(
                f"site {wanted} was not kept; kept are {kept}",
                hint=f"layers are counted from the start here; the last kept one is {last}",
            )
        return SiteRows(self, wanted)

    def __iter__(self) -> Iterator[str]:
        """Yield the addresses of the sites."""
        return iter(map(str, self.sites))

    def __len__(self) -> int:
        """Return the number of sites."""
        return len(self.sites)

    def read(self, site: Site, place: int) -> Float[Tensor, "pos *shape"]:
        """Read one text's activation at one site through a memory map.

        Raises:
            IndexError: there is no such text.
            CorruptRun: a shard is missing.
        """
        if not -len(self.index) <= place < len(self.index):
            raise IndexError(f"text {place} of {len(self.index)}")
        file = self._file(int(self._shards[place]))
        first, n = self._span(site, place)
        found: Tensor = file.get_slice(str(site))[first : first + n]
        return found

    def _span(self, site: Site, place: int) -> tuple[int, int]:
        if site.positions is None:
            return int(self._starts[place]), int(self._lengths[place])
        n = len(site.positions)
        return int(self._places[place]) * n, n

    @cached_property
    def _starts(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        return self.index["start"].to_numpy(dtype=np.int64)

    @cached_property
    def _lengths(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        return self.index["n_tokens"].to_numpy(dtype=np.int64)

    @cached_property
    def _places(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        return self.index["place"].to_numpy(dtype=np.int64)

    def _file(self, shard: int) -> Any:
        if shard not in self._files:
            path = shard_path(self.folder, shard) / VECTORS
            try:
                self._files[shard] = safe_open(path, framework="pt")
            except OSError as error:
                raise CorruptRun(
                    f"{path} cannot be read: {error}", hint="run the batch again with --resume"
                ) from error
        return self._files[shard]


class SiteRows:
    """One site's activations, one tensor per text: `pos d_model`, or as the site's kind has it."""

    def __init__(self, store: ActivationStore, site: Site) -> None:
        """Name the site; nothing is read."""
        self.site = site
        self._store = store

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._store.index)

    def __getitem__(self, place: int) -> Float[Tensor, "pos *shape"]:
        """Read one text, counted in the order of the data without the rows left out."""
        return self._store.read(self.site, place)

    def __iter__(self) -> Iterator[Float[Tensor, "pos *shape"]]:
        """Read one text after the other."""
        return (self[i] for i in range(len(self)))


def _folder(run: Run | Path | str, store: Store | None) -> Path:
    if isinstance(run, Path) or (isinstance(run, str) and (Path(run) / PLAN).is_file()):
        return Path(run)
    found = store or Store()
    if isinstance(run, str) and (batch_folder(found, run) / PLAN).is_file():
        return batch_folder(found, run)
    stored = run if isinstance(run, Run) else found.get(run)
    batch = stored.provenance.get("batch")
    if not batch:
        raise RunNotFound(f"run {stored.run_id} is not part of a batch", hint="workbench batch")
    folder = batch_folder(found, batch["name"])
    unsealed((folder / PLAN).read_bytes(), PLAN)
    return folder
