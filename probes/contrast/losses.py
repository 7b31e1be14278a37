"""The contrastive score of a token, and preference losses that weigh tokens by it."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def contrast(
    positive: Float[Tensor, "*batch d_vocab"],
    negative: Float[Tensor, "*batch d_vocab"],
    beta: float,
) -> Float[Tensor, "*batch d_vocab"]:
    """Return log s of every token, in nats: log softmax((1 + beta)·z_p − beta·z_n).

    Takes logits or log-probabilities: what does not depend on the token cancels.

    Source: Lin et al. 2025, section 2; low s marks a critical token.
    """
    return ((1 + beta) * positive.float() - beta * negative.float()).log_softmax(dim=-1)


def paper_loss(
    chosen: Float[Tensor, "batch pos"],
    rejected: Float[Tensor, "batch other"],
    weights: Float[Tensor, "batch other"],
    gamma: float,
) -> Float[Tensor, " batch"]:
    """Return −log σ(gamma·(Σ chosen − Σ weights·rejected)) per pair, in nats.

    `chosen` and `rejected` are log π/π_ref of each token, zero on padding; `weights` are 1 − s.
    With weights of one it is the loss of DPO; with weights of zero the rejected side has no
    gradient.

    Source: Lin et al. 2025, section 3; Rafailov et al. 2023, arXiv:2305.18290, equation 7.
    """
    return -logsigmoid(gamma * (chosen.sum(dim=1) - (weights * rejected).sum(dim=1)))


def released_loss(
    chosen: Float[Tensor, "batch pos"],
    rejected: Float[Tensor, "batch other"],
    weights: Float[Tensor, "batch other"],
    gamma: float,
    lengths: Float[Tensor, " batch"],
) -> Float[Tensor, " batch"]:
    """Return the mean over positions of −log σ(gamma·(chosen − weights·rejected)), in nats.

    The t-th tokens of both responses are set against each other; where one has ended it counts
    as zero. `lengths` is that of the longer response of each pair.

    Source: the code released with Lin et al. 2025. There, positions that are padding in both
    responses enter the mean with log 2; here they do not count.
    """
    width = max(chosen.shape[1], rejected.shape[1])
    gap = gamma * (_wide(chosen, width) - _wide(weights * rejected, width))
    inside: Bool[Tensor, "batch width"] = (
        torch.arange(width, device=gap.device)[None] < lengths[:, None]
    )
    return -(logsigmoid(gap) * inside).sum(dim=1) / lengths


def _wide(x: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(x, (0, width - x.shape[1]))
