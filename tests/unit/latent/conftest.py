"""A gate on the tiny Llama, and left-padded prompts of different lengths."""

import pytest
import torch

from workbench.latent.gate import Gate, GateShape
from workbench.model.model import Model
from workbench.model.tokens import Tokens


@pytest.fixture
def gate(tiny_llama: Model) -> Gate:
    """A gate that lets much through, so that what it does shows."""
    shape = GateShape(r_min=0.2, r_max=0.4)
    return Gate(tiny_llama.spec.d_model, shape, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def batch(tiny_llama: Model) -> Tokens:
    """Three prompts of unequal length."""
    texts = ["the cat sat", "the king saw a dog in paris . 1 + 2 =", "yes"]
    return tiny_llama.tokenize(texts, side="left")
