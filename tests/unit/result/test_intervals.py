"""Intervals: closed forms, what equal values leave open, and that each holds its estimate."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from workbench.errors import BadOption, TooLittleData
from workbench.result.intervals import (
    Interval,
    NoInterval,
    bootstrap,
    bootstrap_weights,
    grouped_interval,
    grouped_mean_estimate,
    grouped_proportion_estimate,
    jackknife_interval,
    left_out,
    mean_estimate,
    mean_interval,
    percentile_interval,
    proportion_interval,
    resampled,
)
from workbench.result.pivots import student_hall

SIZED = st.floats(-1e12, 1e12).map(lambda v: 0.0 if abs(v) < 1e-12 else v)
VALUES = st.one_of(
    st.lists(SIZED, min_size=1, max_size=12),
    st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=12),
    st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=12),
)


def holds(found: Interval | NoInterval | None, value: float) -> bool:
    return not found or found.low <= value <= found.high


def by_name(x: np.ndarray, groups: list[str]) -> dict[str, Interval | NoInterval | None]:
    generator = np.random.default_rng(0)
    left = np.array([np.delete(x, i).mean() for i in range(len(x))]) if len(x) > 1 else x[:0]
    return {
        "mean": mean_interval(x),
        "grouped": mean_interval(x, groups),
        "bounded": mean_interval(x, bounds=(x.min() - 1, x.max() + 1)),
        "grouped, bounded": mean_interval(x, groups, bounds=(x.min() - 1, x.max() + 1)),
        "bootstrap": bootstrap(
            lambda r: float(x[r].mean()), len(x), generator=generator, resamples=60
        ),
        "jackknife": jackknife_interval(float(x.mean()), left),
    }


@settings(deadline=None, max_examples=40)
@given(VALUES, st.data())
def test_no_estimate_lies_outside_its_own_interval(
    values: list[float], data: st.DataObject
) -> None:
    x = np.array(values)
    groups = [data.draw(st.sampled_from("abcd")) for _ in values]
    for name, found in by_name(x, groups).items():
        assert holds(found, float(x.mean())), name
        assert not found or found.low < found.high, name


@given(st.integers(1, 60), st.data())
def test_a_proportion_lies_in_its_interval_and_in_nought_to_one(
    n: int, data: st.DataObject
) -> None:
    k = data.draw(st.integers(0, n))
    found = proportion_interval(k, n)
    exact = stats.binomtest(k, n).proportion_ci(method="exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)
    assert 0 <= found.low <= k / n <= found.high <= 1
    assert found.low < found.high


@settings(deadline=None, max_examples=12)
@given(
    st.lists(st.floats(-50, 50), min_size=3, max_size=9),
    st.sampled_from([2.0**k for k in (-90, -7, 3, 90)]),
)
def test_intervals_scale_with_their_values(values: list[float], factor: float) -> None:
    x = np.array(values)
    groups = ["a", "b", "c"] * len(x)
    for name, found in by_name(x, groups[: len(x)]).items():
        if name.endswith("bounded"):
            continue  # the bounds do not scale with the values
        scaled = by_name(x * factor, groups[: len(x)])[name]
        assert bool(found) == bool(scaled), name
        if found and scaled:
            assert scaled.low == pytest.approx(found.low * factor, rel=1e-9, abs=1e-9 * factor)
            assert scaled.high == pytest.approx(found.high * factor, rel=1e-9, abs=1e-9 * factor)


def test_symmetric_values_have_students_interval_with_a_wider_t() -> None:
    x = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    found = mean_interval(x)
    reach = stats.t.ppf(0.975, 4) * 1.5 * stats.sem(x)
    assert found
    assert (found.low, found.high) == pytest.approx((-reach, reach))
    assert "5 units" in found.method


def test_skewed_values_reach_further_to_their_tail() -> None:
    x = np.array([0.1, 0.2, 0.2, 0.3, 0.4, 3.0])
    found = mean_interval(x)
    assert found
    above, below = found.high - x.mean(), x.mean() - found.low
    assert above > 1.5 * below
    mirrored = mean_interval(-x)
    assert mirrored
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_halls_transform_of_the_bounds_is_the_critical_value() -> None:
    found = student_hall(0.0, 1.0, 0.4, 50)
    t = -found.high
    t0 = -stats.t.ppf(0.975, 49) * (1 + 2.5 / 50)
    assert t + 0.4 * t**2 / 3 + 0.4**2 * t**3 / 27 + 0.4 / 6 == pytest.approx(t0)
    assert -found.low == pytest.approx(-t0)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_equal_values_are_no_certainty(value: float) -> None:
    alone = mean_estimate("x", [value] * 5, unit="")
    assert (alone.value, alone.low, alone.high) == (pytest.approx(value), None, None)
    assert "same value" in alone.method
    known = mean_estimate("x", [value] * 5, unit="", bounds=(0, 1))
    seen = 0.025 ** (1 / 5)
    assert known.low == pytest.approx(value * seen)
    assert known.high == pytest.approx(value * seen + 1 - seen)
    zeros = np.zeros(30)
    assert (
        bootstrap(lambda r: float(zeros[r].mean()), 30, generator=np.random.default_rng(0)) is None
    )
    assert jackknife_interval(value, np.full(9, value)) is None


def test_rounding_is_not_spread() -> None:
    assert not mean_interval([0.1 + 0.2, 0.3, 0.3, 0.3])
    assert not mean_interval(np.full(7, 1e30) * (1 + np.arange(7) * 1e-17))


def test_two_units_have_an_interval_only_where_it_is_exact() -> None:
    found = mean_estimate("x", [0.2, 0.7], unit="", bounds=(0, 1))
    assert (found.low, found.high, found.method) == (
        None, None, "no interval: 2 units, and at least 3 are needed",
    )  # fmt: skip
    right = mean_estimate("x", [1.0], unit="", bounds=(0, 1))
    assert (right.low, right.high) == pytest.approx((0.025, 1))


def test_values_outside_their_bounds_are_refused() -> None:
    with pytest.raises(BadOption, match="leave the bounds"):
        mean_estimate("x", [0.5, 1.2, 0.3], unit="", bounds=(0, 1))


def test_a_paired_difference_without_a_difference_leaves_room_on_both_sides() -> None:
    found = mean_interval(np.zeros(30), bounds=(-1, 1))
    most = 1 - 0.025 ** (1 / 30)
    assert found
    assert (found.low, found.high) == pytest.approx((-most, most))
    grouped = mean_interval(np.zeros(60), [i // 2 for i in range(60)], bounds=(-1, 1))
    assert grouped
    assert (grouped.low, grouped.high) == pytest.approx((-most, most))


def test_a_paired_difference_of_ones_alone_is_a_proportion_at_one_end() -> None:
    x = np.array([1.0] * 7 + [0.0] * 13)
    found, share = mean_interval(x, bounds=(-1, 1)), proportion_interval(7, 20)
    unseen = 1 - 0.025 ** (1 / 20)
    assert found
    assert found.low == pytest.approx(0.35 - np.hypot(0.35 - share.low, unseen))
    assert found.high == pytest.approx(share.high)


@pytest.mark.parametrize(("right", "n_groups"), [(0, 30), (30, 30), (0, 4), (12, 4), (30, 1)])
def test_few_groups_and_all_alike_leave_room_for_doubt(right: int, n_groups: int) -> None:
    values = [1.0] * right + [0.0] * (30 - right)
    groups = [f"g{i % n_groups}" for i in range(30)]
    sizes = np.bincount([i % n_groups for i in range(30)])
    n = 30**2 / (sizes**2).sum()
    found = grouped_proportion_estimate("x", values, groups)
    k = right / 30 * n
    low = stats.beta.ppf(0.025, k, n - k + 1) if right else 0
    high = stats.beta.ppf(0.975, k + 1, n - k) if right < 30 else 1
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.value == pytest.approx(right / 30)


def test_single_trials_in_groups_of_their_own_are_single_trials() -> None:
    values, groups = [1.0] * 7 + [0.0] * 8, [f"g{i}" for i in range(15)]
    found, alone = grouped_proportion_estimate("x", values, groups), proportion_interval(7, 15)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_groups_whose_means_are_alike_are_as_many_trials_as_units() -> None:
    values, groups = [1.0, 0.0] * 24, [f"g{i // 2}" for i in range(48)]
    found, alone = grouped_proportion_estimate("x", values, groups), proportion_interval(24, 48)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))


def test_shared_groups_widen_the_interval() -> None:
    values, groups = [1.0] * 200 + [0.0] * 200, [f"g{i // 10}" for i in range(400)]
    for bounds in (None, (0.0, 1.0)):
        grouped = grouped_mean_estimate("x", values, groups, unit="", bounds=bounds)
        alone = mean_estimate("x", values, unit="", bounds=bounds)
        assert grouped.value == alone.value == 0.5
        assert grouped.low is not None
        assert grouped.high - grouped.low > 2 * (alone.high - alone.low)  # type: ignore[operator]


def test_one_large_group_is_not_many() -> None:
    values = np.random.default_rng(0).normal(size=104)
    groups = ["large"] * 100 + ["a", "b", "c", "d"]
    assert grouped_interval(values, groups) is None
    told = grouped_mean_estimate("x", values, groups, unit="").method
    assert told == "no interval: 1.08 effective groups, and at least 3 are needed"


def test_grouped_means_are_the_jackknife_over_groups() -> None:
    draw = np.random.default_rng(3)
    x, groups = draw.normal(size=40) ** 2, draw.integers(0, 9, size=40)
    left = [x[groups != g].mean() for g in range(9)]
    sizes = np.bincount(groups)
    found, other = (
        mean_interval(x, groups.tolist()),
        left_out(float(x.mean()), np.array(left), sizes.astype(float)),
    )
    assert found
    assert other
    assert other.high - other.low == pytest.approx(found.high - found.low, rel=0.15)
    equal = mean_interval(x[:36], [i % 9 for i in range(36)])
    means = x[:36].reshape(4, 9).mean(axis=0)
    plain = mean_interval(means)
    assert equal
    assert plain
    assert (equal.low, equal.high) == pytest.approx((plain.low, plain.high))


def test_the_jackknife_of_a_mean_is_the_interval_of_the_mean() -> None:
    x = np.random.default_rng(0).standard_normal(12) ** 2
    left = np.array([np.delete(x, i).mean() for i in range(12)])
    found, plain = jackknife_interval(float(x.mean()), left), mean_interval(x)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


def test_the_jackknife_takes_its_bias_off() -> None:
    x = np.random.default_rng(0).standard_normal(20)
    value = float(x.var())
    left = np.array([np.delete(x, i).var() for i in range(20)])
    found = jackknife_interval(value, left)
    assert found is not None
    pseudo = 20 * value - 19 * left
    assert pseudo.mean() == pytest.approx(x.var(ddof=1))
    expected = mean_interval(pseudo)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_bootstrapped_mean_has_the_interval_of_the_mean() -> None:
    x = np.random.default_rng(0).exponential(size=15)
    weights = bootstrap_weights(15, resamples=40_000, generator=np.random.default_rng(1))
    found, plain = resampled(float(x.mean()), weights @ x / 15, 15), mean_interval(x)
    assert found
    assert plain
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), rel=0.02)


def test_few_resamples_do_not_reach_the_ends() -> None:
    assert percentile_interval(np.arange(39.0)) is None
    assert percentile_interval(np.arange(40.0)) is not None
    few: Callable[[np.ndarray], float] = lambda rows: float(rows.mean())  # noqa: E731
    assert bootstrap(few, 10, generator=np.random.default_rng(0), resamples=2) is None


def test_nothing_has_no_estimate() -> None:
    with pytest.raises(TooLittleData):
        mean_estimate("x", [], unit="")
    with pytest.raises(TooLittleData):
        proportion_interval(0, 0)


def test_few_groups_have_the_interval_of_their_means() -> None:
    means, groups = np.random.default_rng(0).normal(size=8), [f"g{i % 8}" for i in range(40)]
    found = grouped_mean_estimate("x", [float(means[i % 8]) for i in range(40)], groups, unit="")
    plain = mean_interval(means)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))
    pair = grouped_mean_estimate("x", [1.0, 2.0, 3.0], ["a", "a", "b"], unit="")
    assert (pair.value, pair.low, pair.high) == (2, None, None)
    assert pair.method.startswith("no interval: 1.8 effective groups")
