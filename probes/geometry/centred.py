"""Cosine sums about the mean of all tokens, which only the sample allows in one pass."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probes.geometry.adding import added, added_runs
from probes.geometry.reservoir import Origins
from probes.geometry.texts import Runs, TextSums


def centred_texts(
    origins: Origins,
    sample: Float[Tensor, "layer n d_model"],
    means: Float[Tensor, "layer d_model"],
) -> TextSums:
    """Return text sums of the sampled tokens after the mean of all tokens is taken away."""
    order = np.lexsort((origins.units, origins.texts))
    of = origins.take(order)
    new = np.ones(len(order), dtype=bool)
    new[1:] = (of.texts[1:] != of.texts[:-1]) | (of.units[1:] != of.units[:-1])
    starts, rows = np.flatnonzero(new), np.cumsum(new) - 1
    sizes = np.diff([*starts, len(order)])
    sums = TextSums(means.shape[0], means.shape[1], means.device)
    found = []
    for site, mean in enumerate(means):
        x = sample[site, torch.from_numpy(order).to(mean.device)].double() - mean
        length = x.norm(dim=1)
        inverse = torch.where(length > 0, 1 / length, 0)
        sums.coordinate[site] = (x * inverse[:, None]).square().sum(dim=0)
        vector, direction = added_runs(x[None], inverse[None], sizes.tolist())
        scalars = added(
            torch.stack([(length > 0).double(), length], dim=1)[None], rows, len(starts)
        )
        found.append((direction, vector, *scalars.unbind(dim=2)))
    direction, vector, squared, length = (torch.cat(parts) for parts in zip(*found, strict=True))
    sums.add(
        Runs(
            keys=of.texts[starts],
            units=of.units[starts],
            n=sizes.astype(np.int64),
            direction=direction,
            vector=vector,
            squared=squared,
            length=length,
        )
    )
    return sums.closed()
