"""Closed forms: equal models, Gaussians, DPO as a special case, padding that does not count."""

import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from probes.contrast.losses import contrast, paper_loss, released_loss


def _noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
def test_equal_models_give_the_positive_probability(beta):
    z = _noise(3, 4, 11).float()
    assert torch.allclose(contrast(z, z, beta), z.log_softmax(-1), atol=1e-5)


def test_beta_of_zero_gives_the_positive_probability():
    z, other = _noise(3, 11).float(), _noise(3, 11, seed=1).float()
    assert torch.equal(contrast(z, other, 0.0), z.log_softmax(-1))


def test_constants_cancel_and_scores_are_probabilities():
    z, other = _noise(3, 11).float(), _noise(3, 11, seed=1).float()
    s = contrast(z, other, 1.0)
    assert torch.allclose(s, contrast(z + 3.0, other.log_softmax(-1), 1.0), atol=1e-5)
    assert torch.allclose(s.exp().sum(-1), torch.ones(3))
    assert torch.allclose(s, (2 * z - other).log_softmax(-1), atol=1e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_gaussians_of_common_variance_move_their_mean_only(beta):
    x = torch.linspace(-30, 30, 6001)
    up, down, variance = 1.5, -0.5, 2.0
    s = contrast(-((x - up) ** 2) / (2 * variance), -((x - down) ** 2) / (2 * variance), beta).exp()
    mean = float((s * x).sum())
    assert mean == pytest.approx(up + beta * (up - down), abs=1e-3)
    assert float((s * (x - mean) ** 2).sum()) == pytest.approx(variance, abs=1e-3)


def _sides():
    chosen = _noise(2, 5).requires_grad_()
    rejected = _noise(2, 7, seed=1).requires_grad_()
    return chosen, rejected


@pytest.mark.parametrize("gamma", [0.1, 1.0])
def test_a_score_of_zero_everywhere_is_dpo_in_loss_and_gradient(gamma):
    chosen, rejected = _sides()
    loss = paper_loss(chosen, rejected, torch.ones_like(rejected), gamma)
    dpo = -logsigmoid(gamma * (chosen.sum(1) - rejected.sum(1)))
    assert torch.allclose(loss, dpo)
    mine = torch.autograd.grad(loss.sum(), (chosen, rejected))
    pull = -gamma * torch.sigmoid(-gamma * (chosen.sum(1) - rejected.sum(1)))[:, None]
    assert torch.allclose(mine[0], pull.expand_as(chosen))
    assert torch.allclose(mine[1], -pull.expand_as(rejected))


@pytest.mark.parametrize("form", ["paper", "as-released"])
def test_a_score_of_one_everywhere_takes_the_rejected_gradient_away(form):
    chosen, rejected = _sides()
    weights = torch.zeros_like(rejected)
    if form == "paper":
        loss = paper_loss(chosen, rejected, weights, 1.0)
    else:
        loss = released_loss(chosen, rejected, weights, 0.1, torch.tensor([7.0, 7.0]).double())
    up, down = torch.autograd.grad(loss.sum(), (chosen, rejected))
    assert torch.equal(down, torch.zeros_like(down))
    assert (up < 0).all()


def test_an_unmoved_model_has_a_loss_of_log_two():
    zero = torch.zeros(2, 5)
    assert torch.allclose(paper_loss(zero, zero, zero + 1, 1.0), torch.full((2,), math.log(2)))
    lengths = torch.tensor([5.0, 3.0])
    assert torch.allclose(
        released_loss(zero, zero, zero + 1, 0.1, lengths), torch.full((2,), math.log(2))
    )


def test_the_released_form_is_a_mean_over_aligned_positions():
    chosen, rejected = _noise(1, 3), _noise(1, 5, seed=1)
    weights = torch.rand(1, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    loss = released_loss(chosen, rejected, weights, 0.1, torch.tensor([5.0]).double())
    by_hand = []
    for t in range(5):
        up = float(chosen[0, t]) if t < 3 else 0.0
        gap = 0.1 * (up - float(weights[0, t] * rejected[0, t]))
        by_hand.append(math.log1p(math.exp(-gap)))
    assert float(loss) == pytest.approx(sum(by_hand) / 5)


def test_padding_contributes_nothing():
    chosen, rejected = _noise(2, 5), _noise(2, 7, seed=1)
    weights, lengths = torch.full((2, 7), 0.4, dtype=torch.float64), torch.tensor([7.0, 7.0])
    grow = torch.nn.functional.pad
    wide = (grow(chosen, (0, 4)), grow(rejected, (0, 6)), grow(weights, (0, 6), value=0.9))
    assert torch.allclose(paper_loss(chosen, rejected, weights, 1.0), paper_loss(*wide, 1.0))
    assert torch.allclose(
        released_loss(chosen, rejected, weights, 0.1, lengths.double()),
        released_loss(*wide, 0.1, lengths.double()),
    )
