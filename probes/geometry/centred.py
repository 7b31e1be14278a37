"""Cosine sums about the mean of all tokens, which only the sample allows in one pass."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from probes.geometry.adding import run_sums
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
    starts = np.flatnonzero(new)
    sizes = np.diff([*starts, len(order)])
    sums = TextSums(means.shape[0], means.shape[1], means.device)
    found = []
    for site, mean in enumerate(means):
        x = sample[site, torch.from_numpy(order).to(mean.device)].double() - mean
        length = x.norm(dim=1)
        inverse = torch.where(length > 0, 1 / length, 0)
        sums.coordinate[site] = (x * inverse[:, None]).square().sum(dim=0)
        found.append(run_sums(x[None], length[None], inverse[None], sizes))
    joined = {name: torch.cat([some[name] for some in found]) for name in found[0]}
    n = sizes.astype(np.int64)
    sums.add(Runs(keys=of.texts[starts], units=of.units[starts], n=n, **joined))
    return sums.closed()
