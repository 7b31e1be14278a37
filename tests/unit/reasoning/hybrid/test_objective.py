"""Advantages, the distance and the loss by hand."""

import math

import pytest
import torch

from reasoning.hybrid.objective import advantages, divergence, response_losses
from workbench.errors import BadOption


def test_advantages_by_hand():
    found = advantages([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], 4)
    std = math.sqrt((0.75**2 + 3 * 0.25**2) / 3)
    expected = [0.75 / (std + 1e-4)] + [-0.25 / (std + 1e-4)] * 3 + [0.0] * 4
    assert found.tolist() == pytest.approx(expected)
    with pytest.raises(BadOption, match="groups"):
        advantages([1.0, 0.0, 1.0], 2)


def test_divergence_is_zero_at_the_reference_and_never_negative():
    logprobs = torch.tensor([[-1.0, -2.0, -0.5]])
    assert torch.equal(divergence(logprobs, logprobs), torch.zeros(1, 3))
    found = divergence(logprobs, torch.tensor([[-2.0, -1.0, -0.5]]))
    assert found[0].tolist() == pytest.approx([math.exp(-1), math.e - 2, 0.0])


def test_loss_is_the_mean_over_a_responses_own_tokens():
    logprobs = torch.tensor([[-1.0, -2.0, 0.0], [-1.0, -1.0, -4.0]])
    valid = torch.tensor([[True, True, False], [True, True, True]])
    kl = torch.full((2, 3), 0.5)
    found = response_losses(logprobs, kl, torch.tensor([1.0, -2.0]), valid, beta=0.1)
    assert found.tolist() == pytest.approx([1.5 + 0.05, -4.0 + 0.05])
