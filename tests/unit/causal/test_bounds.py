"""Bounds of resampled effects: they contain their estimate, or there are none."""

import numpy as np
import pytest

from causal.identification.bounds import bounds, how, interval


@pytest.mark.parametrize("draws", [5, 12, 38, 39, 300])
def test_bounds_contain_the_estimate_or_are_not_given(draws: int) -> None:
    rng = np.random.default_rng(draws)
    values = rng.exponential(size=(draws, 4, 3)) + rng.normal(size=(4, 3))
    estimate = rng.normal(size=(4, 3)) * 3
    low, high = bounds(values, estimate)
    given = np.isfinite(low)
    assert (low[given] <= estimate[given]).all()
    assert (estimate[given] <= high[given]).all()
    assert np.array_equal(given, np.isfinite(high))
    assert given.all() if draws < 39 else not given.all()


def test_percentiles_from_39_draws_on_and_t_below() -> None:
    values = np.arange(1.0, 201.0)
    assert interval(values, 100.0) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    five = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    reach = 2.7764451 * np.sqrt(2.5)
    assert interval(five, 9.0) == pytest.approx((9 - reach, 9 + reach))
    assert interval(five, 3.0, floor=0.0)[0] == 0.0


def test_too_few_finite_draws_and_shifted_ones_give_none() -> None:
    assert interval(np.array([1.0, 2.0, np.nan, np.nan, 1.5]), 1.0) == (None, None)
    assert interval(np.linspace(2, 3, 100), 1.0) == (None, None)
    assert "no interval: 3 resamples" in how(3)
    assert "t · SD of 20" in how(20)
    assert how(300) == "percentile bootstrap, 300 resamples"
