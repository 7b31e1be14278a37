"""The running statistics of the isotropy probe."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.batch import Batch, Counted
from probes.geometry.moments import Moments, affordable_groups
from probes.geometry.reservoir import Reservoir, Sampled
from probes.geometry.scale import UNKNOWN, common, exponent_of, rescaled, scaled
from probes.geometry.texts import Runs, TextSums
from workbench.errors import NotFinite
from workbench.methods.contracts import Example
from workbench.model.sites import Site
from workbench.model.trace import Trace

_FEW_RUNS = 128

# Products of few rows are slow, so tokens wait for others, as many as fit this memory; what
# waits are whole traces, padding included. An accelerator takes as long for few as for many.
_WAITING_TOKENS = 8192
_WAITING_BYTES = 1 << 28
_ACCELERATED = 8

_RunSums = tuple[NDArray[np.float64], ...]


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

    Memory does not depend on the number of tokens. Vectors of unusual size are kept times 2^−e,
    with e in `exponents`; no digit changes.
    """

    def __init__(self, settings: Settings, d_model: int, device: torch.device) -> None:
        """Begin with nothing counted."""
        n_sites = len(settings.sites)
        self.settings = settings
        self.d_model = d_model
        self.n_groups = affordable_groups(n_sites, d_model, settings.memory_mb)
        self._moments = Moments(n_sites, d_model, self.n_groups, device)
        self._texts = TextSums(n_sites, d_model)
        self._reservoir = Reservoir(n_sites, d_model, settings.reservoir)
        self._waiting: list[tuple[Counted, list[Float[Tensor, "place d_model"]]]] = []
        self.longest = np.zeros(n_sites)
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

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Take one trace; its tokens are counted when there are enough of them.

        Raises:
            NotFinite: an activation is NaN or infinite, or too large to add to the others.
        """
        counted = Counted.of(trace.tokens, examples, exclude_first=self.settings.exclude_first)
        layers = [trace.activations[site].flatten(0, 1) for site in self.settings.sites]
        for site, x in zip(self.settings.sites, layers, strict=True):
            _check_finite(x, site, counted)
        self.n_empty += int((counted.sizes == 0).sum())
        if len(counted):
            self._waiting.append((counted, layers))
        if self._is_enough:
            self.settle()

    @property
    def _is_enough(self) -> bool:
        n_tokens = sum(len(part) for part, _ in self._waiting)
        held = sum(x.nbytes for _, layers in self._waiting for x in layers)
        more = 1 if self._moments.device.type == "cpu" else _ACCELERATED
        return n_tokens >= more * _WAITING_TOKENS or held >= more * _WAITING_BYTES

    def settle(self) -> None:
        """Count everything that waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        parts = [part for part, _ in waiting]
        batch = Batch.of(parts, n_groups=self.n_groups, seed=self.settings.seed)
        bounds = batch.group_bounds
        order = torch.from_numpy(_places(waiting)[batch.rows]).to(self._moments.device)
        wanted = self._reservoir.wanted(batch.priorities)
        shape = len(self.settings.sites), len(wanted), self.d_model
        sample = np.empty(shape, dtype=np.float32)
        sums = []
        for i in range(len(self.settings.sites)):
            x = torch.cat([layers[i] for _, layers in waiting]).to(self._moments.device)
            x = x.index_select(0, order).to(self._precision(x.dtype))
            x = self._scaled(i, x)
            sample[i] = _rows(x, wanted).float().cpu().numpy()
            sums.append(self._add_directions(i, x, batch))
            near = torch.from_numpy(sums[-1][1].sum(axis=0) / len(x)).to(x)
            self._moments.add(i, x, near, bounds)
        self._moments.count(bounds)
        self._add_runs(sums, batch)
        run = batch.run_of_row[wanted]
        self._reservoir.insert(
            Sampled(
                x=sample,
                priorities=batch.priorities[wanted],
                texts=batch.keys[run],
                units=batch.units[run],
                token_ids=batch.token_ids[wanted],
            )
        )

    def exponent(self, site: int) -> int:
        """Return the power of two that the vectors of a site were divided by."""
        e = int(self.exponents[site])
        return 0 if e == UNKNOWN else e

    def _scaled(self, site: int, x: Float[Tensor, "n d_model"]) -> Float[Tensor, "n d_model"]:
        if self.exponents[site] == UNKNOWN and (e := exponent_of(x)) is not None:
            self.exponents[site] = e
        return scaled(x, self.exponent(site))

    def _precision(self, dtype: torch.dtype) -> torch.dtype:
        is_double = self.settings.exact or dtype == torch.float64
        return torch.float64 if is_double else torch.float32

    def _add_runs(self, sums: Sequence[_RunSums], batch: Batch) -> None:
        direction, vector, squared, length = (np.stack(part) for part in zip(*sums, strict=True))
        order = batch.stream_order
        self._texts.add(
            Runs(
                keys=np.where(batch.continues, batch.keys, 0)[order],
                units=batch.units[order],
                n=batch.sizes[order],
                direction=direction[:, order],
                vector=vector[:, order],
                squared=squared[:, order],
                length=length[:, order],
            )
        )

    def _add_directions(self, site: int, x: Float[Tensor, "n d_model"], batch: Batch) -> _RunSums:
        """Return each run's sums of unit vectors, vectors, squared unit lengths and lengths."""
        square = x * x
        squared_norm = square.sum(dim=1)
        norm = squared_norm.sqrt()
        inverse = torch.where(norm > 0, 1 / norm, 0)
        texts = self._texts
        texts.coordinate[site] += (inverse**2 @ square).cpu().numpy()
        texts.norm[site] += float(norm.sum(dtype=torch.float64))
        longest = float(norm.max())
        if not math.isfinite(longest):
            raise NotFinite(
                f"{self.settings.sites[site]}: the squared length of a vector is beyond {x.dtype}",
                hint="leave that row out, or measure rows of such different sizes apart",
            )
        self.longest[site] = max(self.longest[site], longest)
        texts.zeros[site] += int((norm == 0).sum())
        n_runs = len(batch.sizes)
        run = torch.from_numpy(batch.run_of_row).to(x.device)
        vector, direction = _sum_runs(x, run, batch.sizes.tolist(), inverse)
        squared = norm.new_zeros(n_runs).index_add_(0, run, (norm > 0).to(norm.dtype))
        length = norm.new_zeros(n_runs).index_add_(0, run, norm)
        return tuple(part.double().cpu().numpy() for part in (direction, vector, squared, length))

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add a state of the data that came after; only one part of it is in memory at a time."""
        self.settle()
        n_sites = len(self.settings.sites)
        if not np.array_equal(self.exponents, arrays["exponents"]):
            exponents = common(self.exponents, arrays["exponents"])
            self.restore(rescaled(self.state(), exponents))
            arrays = rescaled(arrays, exponents)
        moments = Moments(0, self.d_model, 0, self._moments.device)  # what follows fills it
        moments.restore(arrays, copy=False)
        self._moments.merge(moments)
        del moments
        texts = TextSums(n_sites, self.d_model)
        texts.restore(arrays)
        self._texts.merge(texts)
        self._reservoir.merge(arrays)
        self.longest = np.maximum(self.longest, arrays["longest"])
        self.n_empty += int(arrays["n_empty"])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the whole state."""
        parts = (self.moments.state(), self.texts.state(), self.reservoir.state())
        state = {
            name: np.asarray(array, order="C") for part in parts for name, array in part.items()
        }
        return state | {
            "longest": self.longest,
            "exponents": self.exponents,
            "n_empty": np.array(self.n_empty),
        }

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        self._waiting = []
        self._moments.restore(arrays)
        self._texts.restore(arrays)
        self._reservoir.restore(arrays)
        self.longest = np.array(arrays["longest"])
        self.exponents = np.array(arrays["exponents"])
        self.n_empty = int(arrays["n_empty"])


def _sum_runs(
    x: Float[Tensor, "n d_model"], run: Tensor, sizes: Sequence[int], weight: Float[Tensor, " n"]
) -> tuple[Float[Tensor, "run d_model"], Float[Tensor, "run d_model"]]:
    """Add up the rows of each run, plain and weighted; by one product per run when few."""
    if len(sizes) > _FEW_RUNS:
        empty = x.new_zeros(len(sizes), x.shape[1])
        return empty.index_add(0, run, x), empty.index_add(0, run, x * weight[:, None])
    weights = torch.stack([torch.ones_like(weight), weight])
    parts = zip(weights.split(list(sizes), dim=1), x.split(list(sizes)), strict=True)
    sums = torch.stack([rows @ part for rows, part in parts], dim=1)
    return sums[0], sums[1]


def _places(waiting: Sequence[tuple[Counted, Sequence[Tensor]]]) -> Int64[np.ndarray, " n"]:
    """Number the counted tokens of traces that are laid end to end, padding included."""
    starts = np.cumsum([0, *(len(layers[0]) for _, layers in waiting)])
    rows = [part.rows + start for (part, _), start in zip(waiting, starts[:-1], strict=True)]
    return np.concatenate(rows)


def _rows(x: Float[Tensor, "place d_model"], rows: Int64[np.ndarray, " n"]) -> Tensor:
    return x.index_select(0, torch.from_numpy(rows).to(x.device))


def _check_finite(x: Float[Tensor, "place d_model"], site: Site, counted: Counted) -> None:
    if not len(counted):
        return
    if bool(torch.isfinite(x.sum(dtype=torch.float32))):
        return
    bad = np.flatnonzero((~torch.isfinite(_rows(x, counted.rows)).all(dim=1)).cpu().numpy())
    if len(bad):
        raise NotFinite(
            f"{site} holds NaN or infinity in {len(bad)} of {len(counted)} rows, "
            f"first at {counted.describe(int(bad[0]))}",
            hint="leave that row out, or run the model in float32 if it was run in float16",
        )
