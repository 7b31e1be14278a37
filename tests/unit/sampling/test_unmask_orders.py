"""Which positions each order fills, by hand and against the closed form of a random order."""

import numpy as np
import pytest
import torch

from workbench.errors import BadOption
from workbench.sampling.unmask_orders import (
    AtRandom,
    Blocks,
    ChosenBlocks,
    LeftToRight,
    LeftToRightThen,
    MostConfident,
    View,
)

CONFIDENCE = [0.2, 0.9, 0.5, 0.95, 0.1, 0.99]


def filled(order, *, many=1, confidence=None, noise=None):
    """Return the step of each position, the confidence staying as it is."""
    rows = torch.tensor([confidence or CONFIDENCE]) if noise is None else torch.zeros(noise[0])
    masked, steps = torch.ones_like(rows, dtype=torch.bool), torch.zeros_like(rows).long()
    order, step = order.begin(), 0
    while masked.any():
        drawn = torch.rand(rows.shape, generator=noise[1]) if noise else torch.zeros_like(rows)
        chosen = order.choose(View(masked=masked, confidence=rows, noise=drawn, many=many))
        assert (chosen & ~masked).sum() == 0
        assert chosen.any(dim=1)[masked.any(dim=1)].all()
        steps[chosen], masked, step = step, masked & ~chosen, step + 1
    return steps.tolist() if noise else steps[0].tolist()


@pytest.mark.parametrize(
    ("order", "many", "steps"),
    [
        (LeftToRight(), 1, [0, 1, 2, 3, 4, 5]),
        (LeftToRight(), 4, [0, 0, 0, 0, 1, 1]),
        (MostConfident(), 1, [4, 2, 3, 1, 5, 0]),
        (MostConfident(), 3, [1, 0, 1, 0, 1, 0]),
        (MostConfident(threshold=0.9), 1, [2, 0, 1, 0, 3, 0]),
        (Blocks(size=2), 1, [1, 0, 3, 2, 5, 4]),
        (Blocks(size=4), 3, [1, 0, 0, 0, 2, 2]),
        (LeftToRightThen(first=2), 2, [0, 1, 3, 2, 3, 2]),
        # The means from the left are 0.2, 0.55, 0.53, 0.64; then 0.1, 0.55.
        (ChosenBlocks(threshold=0.6, least=1, most=4), 1, [3, 1, 2, 0, 4, 5]),
        (ChosenBlocks(threshold=0.99, least=2, most=4), 1, [1, 0, 3, 2, 5, 4]),
    ],
)
def test_each_order_by_hand(order, many, steps):
    assert filled(order, many=many) == steps


def test_a_random_order_has_the_arness_of_its_closed_form():
    steps = np.array(filled(AtRandom(), noise=((3000, 6), torch.Generator().manual_seed(0))))
    first = np.argmax(steps[:, :, None] == np.arange(6), axis=1)
    hidden = [[(row[:p] > row[p]).sum() for p in range(6)] for row in steps]
    found = np.array(hidden) < 1
    expected = sum(1 / m for m in range(1, 7)) / 6
    assert found.mean() == pytest.approx(expected, abs=4 * found.std() / np.sqrt(found.size))
    assert np.bincount(first[:, 0], minlength=6).min() > 400


def test_sizes_that_leave_no_block_are_named():
    with pytest.raises(BadOption, match="least"):
        ChosenBlocks(least=4, most=2)


def test_a_chosen_block_is_filled_before_the_next_is_chosen():
    order = ChosenBlocks(threshold=0.99, least=2, most=4)
    assert filled(order, confidence=[0.95, 0.2, 0.9, 0.1]) == [0, 1, 2, 3]
