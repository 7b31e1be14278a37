"""Folds keep groups whole and labels even; shuffles keep folds and runs."""

import numpy as np
import pytest

from workbench.errors import TooLittleData
from workbench.methods.splits import folds, shuffled


def _generator():
    return np.random.default_rng(3)


def test_folds_are_stratified_without_groups():
    y = np.array(["a"] * 70 + ["b"] * 30)
    fold = folds(y, np.arange(100).astype(str), n_folds=5, generator=_generator())
    for number in range(5):
        held = y[fold == number]
        assert (held == "a").sum() == 14
        assert (held == "b").sum() == 6


def test_groups_never_cross_folds():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 30, 200).astype(str)
    y = np.where(rng.random(200) < 0.5, "a", "b")
    fold = folds(y, groups, n_folds=5, generator=_generator())
    for name in np.unique(groups):
        assert len(np.unique(fold[groups == name])) == 1
    assert len(np.unique(fold)) == 5


def test_numbers_are_spread_by_rank():
    y = np.arange(100, dtype=np.float64)
    fold = folds(y, np.arange(100).astype(str), n_folds=5, generator=_generator())
    means = [y[fold == k].mean() for k in range(5)]
    assert np.bincount(fold).tolist() == [20] * 5
    assert max(means) - min(means) < 4


def test_numeric_groups_stay_whole():
    groups = np.repeat(np.arange(20), 5).astype(str)
    y = np.random.default_rng(1).standard_normal(100)
    fold = folds(y, groups, n_folds=4, generator=_generator())
    assert all(len(np.unique(fold[groups == g])) == 1 for g in np.unique(groups))


def test_same_generator_same_folds():
    y = np.array(["a", "b"] * 30)
    groups = np.arange(60).astype(str)
    first = folds(y, groups, n_folds=3, generator=_generator())
    assert np.array_equal(first, folds(y, groups, n_folds=3, generator=_generator()))
    other = folds(y, groups, n_folds=3, generator=np.random.default_rng(4))
    assert not np.array_equal(first, other)


def test_every_rare_class_is_named():
    y = np.array(["a"] * 20 + ["b"] * 2 + ["c"] * 3)
    with pytest.raises(TooLittleData) as error:
        folds(y, np.arange(25).astype(str), n_folds=5, generator=_generator())
    assert "'b' has 2 examples" in str(error.value)
    assert "'c' has 3 examples" in str(error.value)


def test_shuffle_keeps_each_folds_classes():
    y = np.array(["a", "b", "b", "c"] * 10)
    groups = np.arange(40).astype(str)
    fold = folds(y, groups, n_folds=4, generator=_generator())
    new = shuffled(y, groups, fold, generator=_generator())
    assert not np.array_equal(new, y)
    for number in range(4):
        assert sorted(new[fold == number]) == sorted(y[fold == number])


def test_shuffle_moves_whole_groups_of_equal_size():
    groups = np.repeat(np.arange(12), 4)
    y = np.array(["a", "b"])[np.repeat(np.arange(12) % 2, 4)]
    order = np.random.default_rng(5).permutation(48)
    groups, y = groups[order].astype(str), y[order]
    fold = folds(y, groups, n_folds=3, generator=_generator())
    seen_other = False
    for seed in range(5):
        new = shuffled(y, groups, fold, generator=np.random.default_rng(seed))
        for name in np.unique(groups):
            assert len(np.unique(new[groups == name])) == 1
        seen_other |= not np.array_equal(new, y)
    assert seen_other
