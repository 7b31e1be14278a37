"""Acceptance of drafts: published closed forms, and exact output over 400 000 draws."""

import math

import pytest
import torch
from torch import Tensor

from workbench.sampling.acceptance import (
    draft_bound,
    gaussian_overlap,
    k_seq_ratio,
    overlap,
    tokens_per_call,
    verify,
)

DRAWS = 400_000
CLOSE = 0.003
BLOCKS = 100_000


def drawn(p: Tensor, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    n = math.prod(shape)
    return torch.multinomial(p, n, replacement=True, generator=generator).view(shape)


def whole(x: Tensor, k: int, length: int) -> Tensor:
    return x.double().expand(DRAWS, k, length, -1)


def test_two_coins_accept_three_quarters_which_is_the_bound() -> None:
    p, q = torch.tensor([[0.5, 0.5]]).double(), torch.tensor([[1.0, 0.0]]).double()
    k = torch.tensor([2])
    ratio = k_seq_ratio(p, q, k)
    beta = torch.minimum(p, q / ratio).sum()
    assert ratio.item() == pytest.approx(1.5)
    assert 1 - (1 - beta.item()) ** 2 == pytest.approx(0.75)
    assert draft_bound(p, q, 2).item() == pytest.approx(0.75)
    assert overlap(p, q).item() == pytest.approx(0.5)


@pytest.mark.parametrize("k", [1, 4])
def test_output_frequencies_are_those_of_the_model(k: int, generator: torch.Generator) -> None:
    p, q = torch.tensor([0.5, 0.3, 0.1, 0.1]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    drafts = drawn(p, (DRAWS, k, 1), generator)
    found = verify(whole(p, k, 1), whole(q, k, 2), drafts, generator)
    frequencies = found.tokens[:, 0].bincount(minlength=4) / DRAWS
    assert (frequencies - q).abs().max() < CLOSE
    ratio = k_seq_ratio(p[None].double(), q[None].double(), torch.tensor([k]))
    beta = torch.minimum(p, q / ratio).sum().item()
    accepted = found.accepted.double().mean().item()
    assert accepted == pytest.approx(1 - (1 - beta) ** k, abs=CLOSE)
    bound = draft_bound(p, q, k).item()
    assert (1 - math.exp(-1)) * bound - CLOSE <= accepted <= bound + CLOSE


def test_blocks_follow_the_chain_of_the_model(generator: torch.Generator) -> None:
    """Two drafts of two tokens of one Markov chain, judged by another: pairs are the model's."""
    p = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.5, 0.25, 0.25]]).double()
    q = torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2], [0.1, 0.1, 0.8]]).double()
    first = drawn(p[0], (BLOCKS, 2), generator)
    second = torch.multinomial(p[first.flatten()], 1, generator=generator).view(BLOCKS, 2)
    drafts = torch.stack([first, second], dim=2)
    before = torch.stack([torch.zeros_like(first), first], dim=2)
    after = torch.cat([before, second[..., None]], dim=2)
    found = verify(p[before], q[after], drafts, generator)
    assert found.tokens[:, 0].min() >= 0
    # A block that ends early is continued by the model itself, as the loop does.
    rest = torch.multinomial(q[found.tokens[:, 0]], 1, generator=generator)[:, 0]
    next_token = torch.where(found.tokens[:, 1] < 0, rest, found.tokens[:, 1])
    pairs = (3 * found.tokens[:, 0] + next_token).bincount(minlength=9) / BLOCKS
    assert (pairs.view(3, 3) - q[0][:, None] * q).abs().max() < 2 * CLOSE
    kept = drafts[torch.arange(BLOCKS), found.path]
    written = found.accepted[:, None] > torch.arange(2)
    assert torch.equal(kept[written], found.tokens[:, :2][written])


def test_equal_distributions_accept_everything(generator: torch.Generator) -> None:
    p = torch.tensor([0.7, 0.3, 0.0])
    found = verify(whole(p, 1, 3), whole(p, 1, 4), drawn(p, (DRAWS, 1, 3), generator), generator)
    assert bool((found.accepted == 3).all())
    assert found.tokens.max() == 1


def test_disjoint_distributions_accept_nothing(generator: torch.Generator) -> None:
    p, q = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    found = verify(p, q, torch.zeros((1, 1, 1), dtype=torch.long), generator)
    assert found.tokens.tolist() == [[1, -1]]


def test_tokens_per_call_is_the_geometric_sum() -> None:
    assert tokens_per_call(0.8, 4) == pytest.approx((1 - 0.8**5) / 0.2)
    assert tokens_per_call(1.0, 4) == 5


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_gaussians_are_accepted_as_their_densities_say(
    distance: float, generator: torch.Generator
) -> None:
    x = torch.randn(DRAWS, generator=generator, dtype=torch.float64)
    chance = torch.exp((x**2 - (x - distance) ** 2) / 2).clamp(max=1)
    found = gaussian_overlap(torch.tensor(distance)).item()
    assert found == pytest.approx(math.erfc(distance / 8**0.5))
    assert chance.mean().item() == pytest.approx(found, abs=CLOSE)
