"""AR-ness against its closed forms."""

from itertools import permutations

import numpy as np
import pytest

from probes.diffusion.arness import expected_global, global_arness, kendall, local_arness

BOTH = pytest.mark.parametrize("in_order", [True, False])


@BOTH
@pytest.mark.parametrize("k", [1, 2, 4])
def test_left_to_right_is_one_and_right_to_left_is_none(k, in_order):
    forced, backward = np.arange(9), np.arange(9)[::-1]
    assert global_arness(forced, k, in_order=in_order) == 1
    assert local_arness(forced, k, in_order=in_order) == 1
    assert local_arness(backward, k, in_order=in_order) == 0
    assert global_arness(backward, k, in_order=in_order) == k / 9
    assert (kendall(forced), kendall(backward)) == (1, -1)


@BOTH
def test_all_orders_of_a_text_average_to_the_harmonic_number_over_its_length(in_order):
    orders = [np.array(order) for order in permutations(range(5))]
    mean = lambda f, k: np.mean([f(o, k, in_order=in_order) for o in orders])  # noqa: E731
    harmonic = sum(1 / m for m in range(1, 6))
    assert mean(global_arness, 1) == pytest.approx(harmonic / 5) == expected_global(5, 1)
    assert mean(global_arness, 2) == pytest.approx(expected_global(5, 2))
    assert mean(local_arness, 1) == pytest.approx(1 / 5)
    assert np.mean([kendall(o) for o in orders]) == pytest.approx(0)


def test_the_conventions_part_where_a_step_fills_several_positions():
    steps = np.array([0, 0, 0, 1, 1, 1])
    assert global_arness(steps, 1) == 1
    assert global_arness(steps, 1, in_order=False) == 2 / 6
    assert global_arness(steps, 3, in_order=False) == 1
    assert local_arness(steps, 1) == 1
    assert local_arness(steps, 1, in_order=False) == 1 / 5
    assert np.isnan(local_arness(steps[:2], 2))
    assert np.isnan(kendall(steps[:3]))
