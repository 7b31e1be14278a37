"""The contrastive loss by hand, and noise of the length that is asked for."""

import math

import pytest
import torch

from reasoning.sentences.contrast import info_nce
from reasoning.sentences.prediction_objective import disturbed

# Directions at 0°, 60° and 90°: every cosine is written down, and rows differ from columns.
FOUND = torch.tensor([[2.0, 0.0], [0.5, math.sqrt(0.75)], [0.0, 3.0]])
WANTED = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0]])
COSINES = [[1.0, 1.0, 0.0], [0.5, 0.5, math.sqrt(0.75)], [0.0, 0.0, 1.0]]


def _by_hand(names, temperature):
    losses = []
    for i, row in enumerate(COSINES):
        others = [c for j, c in enumerate(row) if j == i or names[j] != names[i]]
        total = sum(math.exp(c / temperature) for c in others)
        losses.append(math.log(total) - row[i] / temperature)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("names", [["a", "b", "c"], ["a", "a", "c"], ["a", "b", "a"], ["a"] * 3])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_each_found_vector_looks_for_its_partner_among_other_names(names, temperature):
    found = float(info_nce(FOUND, WANTED, names, temperature=temperature))
    assert found == pytest.approx(_by_hand(names, temperature), rel=1e-5, abs=1e-6)


def test_the_anchors_are_the_found_vectors():
    names = ["a", "b", "c"]
    across = float(info_nce(WANTED, FOUND, names, temperature=0.1))
    assert across != pytest.approx(_by_hand(names, 0.1), rel=0.05)


@pytest.mark.parametrize("width", [4, 1024])
def test_noise_is_as_long_as_its_ratio_says_at_any_width(width):
    vectors = torch.full((400, width), 0.5) * torch.arange(1, 401)[:, None]
    draw = torch.Generator().manual_seed(0)
    change = disturbed(vectors, 0.3, draw) - vectors
    ratio = (change.norm(dim=-1) / vectors.norm(dim=-1)).square().mean().sqrt()
    assert float(ratio) == pytest.approx(0.3, rel=0.05)
