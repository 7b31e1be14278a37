"""The loss of a group of rollouts: relative advantages and the distance to the reference."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import BadOption

STEADY = 1e-4


def advantages(rewards: Sequence[float], group: int) -> Float[Tensor, " n"]:
    """Return (R − mean) / (std + 1e-4) within each group; std is unbiased.

    Source: Yue et al. 2025, arXiv:2505.18454, section 3; Shao et al. 2024, arXiv:2402.03300.

    Raises:
        BadOption: the rewards do not divide into groups of two or more.
    """
    if group < 2 or len(rewards) % group:
        raise BadOption(f"{len(rewards)} rewards in groups of {group}; expected whole groups of 2+")
    by_group = torch.tensor(rewards, dtype=torch.float32).reshape(-1, group)
    centred = by_group - by_group.mean(dim=1, keepdim=True)
    return (centred / (by_group.std(dim=1, keepdim=True) + STEADY)).flatten()


def divergence(
    logprobs: Float[Tensor, "batch step"], reference: Float[Tensor, "batch step"]
) -> Float[Tensor, "batch step"]:
    """Return the estimate e^δ − δ − 1 of KL(π‖π_ref) per token, δ = ln π_ref − ln π, in nats.

    Source: Schulman 2020, "Approximating KL divergence" (k3).
    """
    delta = reference - logprobs
    return torch.expm1(delta) - delta


def response_losses(
    logprobs: Float[Tensor, "batch step"],
    kl: Float[Tensor, "batch step"],
    advantage: Float[Tensor, " batch"],
    valid: Bool[Tensor, "batch step"],
    *,
    beta: float,
) -> Float[Tensor, " batch"]:
    """Return −mean over tokens of (A·ln π − β·KL) for each response.

    Every rollout is used once, so the ratio of policies is 1 and nothing is clipped.
    """
    gain = advantage[:, None] * logprobs - beta * kl
    count = valid.sum(dim=1).clamp(min=1)
    return -(gain.masked_fill(~valid, 0.0).sum(dim=1) / count)
