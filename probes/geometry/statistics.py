"""The running statistics of the isotropy probe."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.adding import run_sums
from probes.geometry.batch import Batch
from probes.geometry.moments import Moments, affordable_groups
from probes.geometry.reservoir import Reservoir
from probes.geometry.scale import UNKNOWN, exponent_of, rescaled, scaled
from probes.geometry.texts import Runs, TextSums
from workbench.errors import NotFinite
from workbench.methods.contracts import Example
from workbench.model.sites import Site
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace

# Products of few rows are slow, so tokens wait for others, as many as fit this memory; what
# waits are whole traces, padding included. An accelerator takes as long for few as for many.
_WAITING_TOKENS = 8192
_WAITING_BYTES = 1 << 28
_ACCELERATED = 8
# How many layers are stacked at once: few on a processor, whose caches should hold them.
_STACKED_BYTES = 1 << 23


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides how statistics are kept; states only merge when theirs agree.

    `exact` takes every product in float64; otherwise float32 activations are multiplied in
    float32, a few thousand tokens at a time, and summed in float64.
    """

    sites: tuple[Site, ...]
    exclude_first: bool
    reservoir: int
    memory_mb: float
    seed: int
    exact: bool = True


class IsotropyStatistics:
    """Moments, text sums and a sample of tokens for every layer asked for.

    All is kept where the activations are, and memory does not depend on the number of tokens. A
    pass asks nothing of the device; what it left is counted, all layers together, once enough of
    it waits. Vectors of unusual size are kept times 2^−e, with e in `exponents`; no digit changes.
    """

    def __init__(self, settings: Settings, d_model: int, device: torch.device) -> None:
        """Begin with nothing counted."""
        n_sites = len(settings.sites)
        self.settings, self.d_model, self.device = settings, d_model, device
        self.n_groups = affordable_groups(n_sites, d_model, settings.memory_mb)
        self._moments = Moments(n_sites, d_model, self.n_groups, device)
        self._texts = TextSums(n_sites, d_model, device)
        self._reservoir = Reservoir(n_sites, d_model, settings.reservoir, device)
        self._waiting: list[tuple[Tokens, Sequence[Example], list[Tensor]]] = []
        self._longest = torch.zeros(n_sites, dtype=torch.float64, device=device)
        self.exponents = np.full(n_sites, UNKNOWN)
        self.n_empty = 0

    @property
    def moments(self) -> Moments:
        """Means and scatters of everything added."""
        self.settle()
        return self._moments

    @property
    def texts(self) -> TextSums:
        """Sums by text of everything added."""
        self.settle()
        return self._texts

    @property
    def reservoir(self) -> Reservoir:
        """A sample of all tokens added."""
        self.settle()
        return self._reservoir

    @property
    def longest(self) -> NDArray[np.float64]:
        """The length of the longest vector of every layer."""
        found: NDArray[np.float64] = self._longest.cpu().numpy()
        return found

    @property
    def powers(self) -> NDArray[np.int64]:
        """The power of two that the vectors of each site were divided by."""
        return np.where(self.exponents == UNKNOWN, 0, self.exponents)

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Take one trace; its tokens are counted when there are enough of them.

        Raises:
            NotFinite: an activation is NaN or infinite, or too large to add to the others.
        """
        layers = [trace.activations[site].flatten(0, 1) for site in self.settings.sites]
        self._waiting.append((trace.tokens, examples, layers))
        places = sum(tokens.mask.numel() for tokens, _, _ in self._waiting)
        held = sum(x.nbytes for _, _, layers in self._waiting for x in layers)
        more = 1 if self.device.type == "cpu" else _ACCELERATED
        if places >= more * _WAITING_TOKENS or held >= more * _WAITING_BYTES:
            self.settle()

    def settle(self) -> None:
        """Count everything that waits.

        Raises:
            NotFinite: an activation is NaN or infinite, or too large to add to the others.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        batch = Batch.of(
            [(tokens, examples) for tokens, examples, _ in waiting],
            exclude_first=self.settings.exclude_first,
            n_groups=self.n_groups,
            seed=self.settings.seed,
        )
        self.n_empty += batch.n_empty
        if not len(batch):
            return
        layers = [layers for _, _, layers in waiting]
        bounds, runs = batch.group_bounds, []
        kept, places = self._reservoir.entering(batch.origins)
        sample = torch.from_numpy(kept).to(self.device)
        for at, x in self._stacked(layers, torch.from_numpy(batch.places).to(self.device)):
            x = self._checked(at, x, batch)
            self._reservoir.write(at, places, x.index_select(1, sample).float())
            runs.append(self._runs(at, x, batch))
            self._moments.add(at, x, bounds)
        self._moments.count(bounds)
        sums = {name: torch.cat([some[name] for some in runs]) for name in runs[0]}
        found = Runs(keys=batch.keys, units=batch.units, n=batch.sizes, **sums)
        self._texts.add(found.in_order(batch.stream_order))

    def _stacked(
        self, waiting: Sequence[list[Tensor]], places: Tensor
    ) -> Iterator[tuple[slice, Float[Tensor, "layer n d_model"]]]:
        """Yield the counted tokens of some layers at a time."""
        n_sites = len(self.settings.sites)
        of_layer = sum(layers[0].nbytes for layers in waiting)
        more = 1 if self.device.type == "cpu" else _ACCELERATED * _WAITING_BYTES // _STACKED_BYTES
        step = max(1, more * _STACKED_BYTES // max(of_layer, 1))
        is_double = self.settings.exact or waiting[0][0].dtype == torch.float64
        for first in range(0, n_sites, step):
            at = slice(first, min(first + step, n_sites))
            x = _together([layers[at] for layers in waiting], places)
            yield at, x.to(torch.float64 if is_double else torch.float32)

    def _checked(
        self, at: slice, x: Float[Tensor, "layer n d_model"], batch: Batch
    ) -> Float[Tensor, "layer n d_model"]:
        """Return vectors at a size whose squares are numbers; the one question to the device."""
        largest = _largest(x)
        for i in np.flatnonzero(~np.isfinite(largest)):
            bad = torch.nonzero(~torch.isfinite(x[i]).all(dim=1)).flatten().tolist()
            raise NotFinite(
                f"{self.settings.sites[at][i]} holds NaN or infinity in {len(bad)} of {len(batch)} "
                f"rows, first at {batch.describe(bad[0])}",
                hint="leave that row out, or run the model in float32 if it was run in float16",
            )
        known = self.exponents[at]
        known[:] = np.where(known == UNKNOWN, [exponent_of(one) for one in largest], known)
        size = largest * np.ldexp(1.0, -self.powers[at])
        for i in np.flatnonzero(size > (torch.finfo(x.dtype).max / x.shape[2]) ** 0.5):
            raise NotFinite(
                f"{self.settings.sites[at][i]}: the squared length of a vector is beyond {x.dtype}",
                hint="leave that row out, or measure rows of such different sizes apart",
            )
        return scaled(x, known)

    def _runs(
        self, at: slice, x: Float[Tensor, "layer n d_model"], batch: Batch
    ) -> dict[str, Tensor]:
        """Return the sums of each run, and add those of all tokens."""
        square = x * x
        norm = square.sum(dim=2).sqrt()
        inverse = torch.where(norm > 0, 1 / norm, 0)
        texts = self._texts
        texts.coordinate[at] += ((inverse * inverse)[:, None] @ square)[:, 0]
        texts.norm[at] += norm.sum(dim=1, dtype=torch.float64)
        texts.zeros[at] += (norm == 0).sum(dim=1)
        self._longest[at] = torch.maximum(self._longest[at], norm.amax(dim=1))
        return run_sums(x, norm, inverse, batch.sizes)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the whole state, fetched from the device at once."""
        self.settle()
        origins, sample = self._reservoir.sample()
        tensors = self._moments.tensors() | self._texts.tensors()
        tensors |= {"longest": self._longest, "reservoir.x": sample}
        counts = self._moments.counts() | self._texts.counts()
        counts |= {f"reservoir.{name}": array for name, array in vars(origins).items()}
        counts |= {"exponents": self.exponents, "n_empty": np.array(self.n_empty)}
        return _on_host(tensors) | {name: array.copy() for name, array in counts.items()}

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add a state of the data that came after; only one part of it is in memory at a time."""
        self.settle()
        theirs = arrays["exponents"]
        if not np.array_equal(self.exponents, theirs):
            # The larger exponent of each site, so that nothing overflows on its way to it.
            exponents = np.maximum(self.exponents, theirs)
            self.restore(rescaled(self.state(), exponents))
            arrays = rescaled(arrays, exponents)
        self._moments.merge(arrays)
        self._texts.merge(arrays)
        self._reservoir.merge(arrays)
        longest = torch.from_numpy(np.asarray(arrays["longest"])).to(self.device)
        self._longest = torch.maximum(self._longest, longest)
        self.n_empty += int(arrays["n_empty"])

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        self._waiting = []
        self._moments.restore(arrays)
        self._texts.restore(arrays)
        self._reservoir.restore(arrays)
        self._longest = torch.from_numpy(np.array(arrays["longest"])).to(self.device)
        self.exponents = np.array(arrays["exponents"])
        self.n_empty = int(arrays["n_empty"])


def _together(
    parts: Sequence[Sequence[Float[Tensor, "some d_model"]]], places: Int64[Tensor, " n"]
) -> Float[Tensor, "layer n d_model"]:
    """Return the rows that count of every layer, whose traces are laid end to end."""
    if places.device.type != "cpu":
        stacked = torch.cat([torch.stack(tuple(layers)) for layers in parts], dim=1)
        return stacked.to(places.device).index_select(1, places)
    first = parts[0][0]
    x = first.new_empty(len(parts[0]), len(places), first.shape[1], device=places.device)
    for row, layer in zip(x, zip(*parts, strict=True), strict=True):
        # One layer stays in the cache from here to there.
        torch.index_select(torch.cat(layer).to(x.device), 0, places, out=row)
    return x


def _largest(x: Float[Tensor, "layer n d_model"]) -> Float[np.ndarray, " layer"]:
    """Return the largest size of a number of each layer; NaN where one is."""
    flat = x.flatten(1)
    if x.device.type == "cpu":  # where NumPy compares several at once
        array = flat.numpy()
        return np.asarray(np.maximum(-array.min(axis=1), array.max(axis=1)), dtype=np.float64)
    least, most = flat.aminmax(dim=1)
    return np.array(torch.maximum(-least, most).tolist())


def _on_host(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    """Return tensors as arrays of their own: from a device by one copy for each number format."""
    found: dict[str, NDArray[Any]] = {}
    for dtype in {x.dtype for x in tensors.values()}:
        some = {name: x for name, x in tensors.items() if x.dtype == dtype}
        if next(iter(some.values())).device.type == "cpu":
            found |= {name: x.numpy().copy() for name, x in some.items()}
            continue
        flat = torch.cat([x.flatten() for x in some.values()]).cpu()
        parts = flat.split([x.numel() for x in some.values()])
        for (name, x), part in zip(some.items(), parts, strict=True):
            found[name] = part.numpy().reshape(x.shape)
    return found
