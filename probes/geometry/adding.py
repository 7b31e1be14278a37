"""Rows added up by number, in the same order every time on every device."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def added(
    x: Float[Tensor, "layer n *shape"], rows: Int[np.ndarray, " n"], size: int
) -> Float[Tensor, "layer size *shape"]:
    """Add up the entries of each row number along the second axis.

    On an accelerator by a product with zeros and ones, since `index_add` there adds in any order.
    """
    at = torch.from_numpy(rows).to(x.device)
    if x.device.type == "cpu":
        return x.new_zeros(x.shape[0], size, *x.shape[2:]).index_add_(1, at, x)
    chosen = (at == torch.arange(size, device=x.device)[:, None]).to(x.dtype)
    found: Tensor = (chosen @ x.flatten(2)) if x.dim() > 2 else x @ chosen.T
    return found.view(x.shape[0], size, *x.shape[2:])


def run_sums(
    x: Float[Tensor, "layer n d_model"],
    norm: Float[Tensor, "layer n"],
    inverse: Float[Tensor, "layer n"],
    sizes: Int[np.ndarray, " run"],
) -> dict[str, Tensor]:
    """Return each run's sums of unit vectors, vectors, squared unit lengths and lengths."""
    vector, direction = _added_runs(x, inverse, sizes.tolist())
    rows = np.repeat(np.arange(len(sizes)), sizes)
    of_token = torch.stack([(norm > 0).double(), norm.double()], dim=2)
    squared, length = added(of_token, rows, len(sizes)).unbind(dim=2)
    return {
        "direction": direction.double(),
        "vector": vector.double(),
        "squared": squared,
        "length": length,
    }


def _added_runs(
    x: Float[Tensor, "layer n d_model"], weights: Float[Tensor, "layer n"], sizes: Sequence[int]
) -> tuple[Float[Tensor, "layer run d_model"], Float[Tensor, "layer run d_model"]]:
    """Add up consecutive rows, so many for each run, plain and weighted."""
    if x.device.type != "cpu":
        rows = np.repeat(np.arange(len(sizes)), sizes)
        both = (added(part, rows, len(sizes)) for part in (x, x * weights[..., None]))
        plain, weighted = both
        return plain, weighted
    pair = torch.stack([torch.ones_like(weights), weights], dim=1)
    parts = zip(pair.split(list(sizes), dim=2), x.split(list(sizes), dim=1), strict=True)
    sums = torch.stack([torch.bmm(w, part) for w, part in parts], dim=2)
    return sums[:, 0], sums[:, 1]
