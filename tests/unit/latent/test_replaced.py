"""Thoughts replaced: by hand, and in a chain of mixtures whose tokens stay its own."""

import pytest
import torch

from workbench.errors import BadOption
from workbench.latent.inputs import TokenInput
from workbench.latent.replaced import in_place_of, replaced_input
from workbench.latent.thoughts import Marks, ThoughtInput


def test_each_replacement_by_hand():
    fed = torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])
    assert in_place_of(fed, "own", 1) is fed
    assert not in_place_of(fed, "zero", 1).any()
    assert torch.equal(in_place_of(fed, "other", 1), fed[[2, 0, 1]])
    noise = in_place_of(fed, "noise", 1)
    assert torch.allclose(noise.norm(dim=-1), fed.norm(dim=-1))
    # The same direction in every row, another one at another step.
    assert torch.allclose(noise[0] / 5, noise[1] / 2)
    assert not torch.allclose(noise, in_place_of(fed, "noise", 2))
    assert torch.allclose(in_place_of(fed[:1], "noise", 1), noise[:1])


def test_another_problem_needs_another_problem():
    with pytest.raises(BadOption, match="there is one problem"):
        in_place_of(torch.ones(1, 2), "other", 1)


def test_nothing_replaced_is_the_input_itself():
    inputs = TokenInput()
    assert replaced_input(inputs, "own") is inputs


def test_no_shuffled_thought_stands_where_it_stood():
    given = torch.arange(6.0).reshape(1, 3, 2)
    marks = Marks(begin=torch.zeros(2), end=torch.zeros(2), pause=torch.zeros(2))
    inputs = ThoughtInput(marks=marks, n=3, fed="shuffled", given=given)
    state = torch.ones(1, 2)
    fed = torch.stack([inputs._thought(state, index) for index in (1, 2, 3)], dim=1)
    assert torch.equal(fed, given[:, [1, 2, 0]])
    with pytest.raises(BadOption, match="none were given"):
        ThoughtInput(marks=marks, n=3, fed="shuffled")._thought(state, 1)
