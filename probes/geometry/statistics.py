"""The running statistics of the isotropy probe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.batch import Batch, read_batches
from probes.geometry.moments import Moments, affordable_groups
from probes.geometry.reservoir import Reservoir, Sampled
from probes.geometry.texts import Runs, TextSums
from workbench.errors import BadOption, NotFinite
from workbench.methods.contracts import Example
from workbench.model.sites import Site
from workbench.model.trace import Trace

_FEW_RUNS = 128


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides how statistics are kept; tallies only merge when theirs agree."""

    sites: tuple[Site, ...]
    exclude_first: bool
    reservoir: int
    memory_mb: float
    seed: int


class IsotropyStatistics:
    """Moments, text sums and a sample of tokens for every layer asked for.

    Memory depends on layers, width and the options, not on the number of tokens.
    """

    def __init__(self, settings: Settings, d_model: int, device: torch.device) -> None:
        """Begin with nothing counted."""
        n_sites = len(settings.sites)
        self.settings = settings
        self.d_model = d_model
        self.n_groups = affordable_groups(n_sites, d_model, settings.memory_mb)
        self.moments = Moments(n_sites, d_model, self.n_groups, device)
        self.texts = TextSums(n_sites, d_model)
        self.reservoir = Reservoir(n_sites, d_model, settings.reservoir)
        self.longest = np.zeros(n_sites)
        self.n_empty = 0

    def add(self, trace: Trace, examples: Sequence[Example]) -> None:
        """Count one trace.

        Raises:
            NotFinite: an activation is NaN or infinite; nothing of its batch is counted.
        """
        for batch in read_batches(
            trace.tokens,
            examples,
            exclude_first=self.settings.exclude_first,
            n_groups=self.n_groups,
            seed=self.settings.seed,
        ):
            self.n_empty += batch.n_empty
            if len(batch):
                self._add(batch, trace)

    def _add(self, batch: Batch, trace: Trace) -> None:
        for site in self.settings.sites:
            _check_finite(_rows(trace, site, batch), site, batch)
        self._sample(trace, batch)
        bounds = batch.group_bounds
        sums = []
        for i, site in enumerate(self.settings.sites):
            x = _rows(trace, site, batch).to(self.moments.device, torch.float64, copy=True)
            sums.append(self._add_directions(i, x, batch))
            self.moments.add(i, x, bounds)
        self.moments.count(bounds)
        direction, vector, squared = (np.stack(part) for part in zip(*sums, strict=True))
        order = batch.stream_order
        self.texts.add(
            Runs(
                keys=np.where(batch.continues, batch.keys, 0)[order],
                units=batch.units[order],
                n=batch.sizes[order],
                direction=direction[:, order],
                vector=vector[:, order],
                squared=squared[:, order],
            )
        )

    def _add_directions(
        self, site: int, x: Float64[Tensor, "n d_model"], batch: Batch
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return each run's sums of unit vectors, of vectors and of squared unit lengths."""
        square = x * x
        squared_norm = square.sum(dim=1)
        norm = squared_norm.sqrt()
        inverse = torch.where(norm > 0, 1 / norm, 0)
        self.texts.coordinate[site] += (inverse**2 @ square).cpu().numpy()
        self.texts.norm[site] += float(norm.sum())
        self.longest[site] = max(self.longest[site], float(norm.max()))
        self.texts.zeros[site] += int((norm == 0).sum())
        n_runs = len(batch.sizes)
        run = torch.from_numpy(batch.run_of_row).to(x.device)
        vector, direction = _sum_runs(x, run, n_runs, inverse)
        squared = norm.new_zeros(n_runs).index_add_(0, run, (norm > 0).double())
        return direction.cpu().numpy(), vector.cpu().numpy(), squared.cpu().numpy()

    def _sample(self, trace: Trace, batch: Batch) -> None:
        wanted = self.reservoir.wanted(batch.priorities)
        if not len(wanted):
            return
        rows = batch.rows[torch.from_numpy(wanted)]
        layers = (trace.activations[site].flatten(0, 1) for site in self.settings.sites)
        x = torch.stack([layer[rows.to(layer.device)].float().cpu() for layer in layers])
        run = batch.run_of_row[wanted]
        self.reservoir.insert(
            Sampled(
                x=x.numpy(),
                priorities=batch.priorities[wanted],
                texts=batch.keys[run],
                units=batch.units[run],
                token_ids=batch.token_ids[wanted],
            )
        )

    def merge(self, other: "IsotropyStatistics") -> None:
        """Add the statistics of the data that came after.

        Raises:
            BadOption: the two were counted with different options.
        """
        if self.settings != other.settings or self.d_model != other.d_model:
            raise BadOption(
                f"cannot join {other.settings} with {self.settings}",
                hint="count all parts with the same options and seed",
            )
        self.moments.merge(other.moments)
        self.texts.merge(other.texts)
        self.reservoir.merge(other.reservoir)
        self.longest = np.maximum(self.longest, other.longest)
        self.n_empty += other.n_empty

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the whole state."""
        parts = (self.moments.arrays(), self.texts.arrays(), self.reservoir.arrays())
        state = {
            name: np.asarray(array, order="C") for part in parts for name, array in part.items()
        }
        return state | {"longest": self.longest, "n_empty": np.array(self.n_empty)}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        self.moments.restore(arrays)
        self.texts.restore(arrays)
        self.reservoir.restore(arrays)
        self.longest = np.array(arrays["longest"])
        self.n_empty = int(arrays["n_empty"])


def _sum_runs(
    x: Float64[Tensor, "n d_model"], run: Tensor, n_runs: int, weight: Float64[Tensor, " n"]
) -> tuple[Float64[Tensor, "run d_model"], Float64[Tensor, "run d_model"]]:
    """Add up the rows of each run, plain and weighted; by one product when runs are few."""
    if n_runs > _FEW_RUNS:
        empty = x.new_zeros(n_runs, x.shape[1])
        return empty.index_add(0, run, x), empty.index_add(0, run, x * weight[:, None])
    rows = torch.arange(len(x), device=x.device)
    member = x.new_zeros(2 * n_runs, len(x))
    member[run, rows] = 1
    member[run + n_runs, rows] = weight
    sums = member @ x
    return sums[:n_runs], sums[n_runs:]


def _rows(trace: Trace, site: Site, batch: Batch) -> Float[Tensor, "n d_model"]:
    x = trace.activations[site].flatten(0, 1)
    return x[batch.rows.to(x.device)]


def _check_finite(x: Float[Tensor, "n d_model"], site: Site, batch: Batch) -> None:
    if bool(torch.isfinite(x.sum())):
        return
    bad = np.flatnonzero((~torch.isfinite(x).all(dim=1)).cpu().numpy())
    if len(bad):
        raise NotFinite(
            f"{site} holds NaN or infinity in {len(bad)} of {len(x)} rows, "
            f"first at {batch.describe(batch.first_in_stream(bad))}",
            hint="leave that row out, or run the model in float32 if it was run in float16",
        )
