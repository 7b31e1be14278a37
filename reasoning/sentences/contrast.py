"""The contrastive loss that ties two views of the same sentence."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

TEMPERATURE = 0.1


def info_nce(
    found: Float[Tensor, "n d_model"],
    wanted: Float[Tensor, "n d_model"],
    names: Sequence[str],
    *,
    temperature: float = TEMPERATURE,
) -> Float[Tensor, ""]:
    """Return how badly each vector finds its own partner among all by cosine, in nats.

    Partners that carry the same name as one's own are no negatives and are masked.

    Source: van den Oord et al. 2018, arXiv:1807.03748; temperature as in the code of
    arXiv:2505.22202. The masking is ours: short plans share most of their sentences.
    """
    unit = nn.functional.normalize
    logits = unit(found, dim=-1) @ unit(wanted, dim=-1).T / temperature
    index = {name: i for i, name in enumerate(dict.fromkeys(names))}
    group = torch.tensor([index[name] for name in names], device=found.device)
    same = group[:, None] == group[None]
    same.fill_diagonal_(False)
    own = torch.arange(len(names), device=found.device)
    return nn.functional.cross_entropy(logits.masked_fill(same, float("-inf")), own)
