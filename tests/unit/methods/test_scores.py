"""Scores against scikit-learn and brute force, under weights."""

import numpy as np
import pytest
from sklearn import metrics

from workbench.methods.scores import HeldOut, concordance


def _held(n=60, n_class=3, folds=1, seed=0):
    rng = np.random.default_rng(seed)
    names = np.array([f"c{i}" for i in range(n_class)])
    which = rng.integers(0, n_class, n)
    scores = rng.standard_normal((n, n_class)) + np.eye(n_class)[which]
    return HeldOut(
        y=names[which], scores=scores, fold=rng.integers(0, folds, n), classes=tuple(names)
    )


def _numbers(n=50, seed=0):
    rng = np.random.default_rng(seed)
    y = 1e6 + rng.standard_normal(n)
    z = (y + 0.5 * rng.standard_normal(n))[:, None]
    return HeldOut(y=y, scores=z, fold=np.zeros(n, dtype=np.int64), classes=())


def test_class_scores_equal_sklearn():
    held = _held()
    assert held.measure("accuracy")[0] == pytest.approx(
        metrics.accuracy_score(held.y, held.predicted)
    )
    assert held.measure("balanced_accuracy")[0] == pytest.approx(
        metrics.balanced_accuracy_score(held.y, held.predicted)
    )


def test_number_scores_equal_sklearn():
    held = _numbers()
    assert held.measure("r2")[0] == pytest.approx(metrics.r2_score(held.y, held.scores[:, 0]))
    assert held.measure("correlation")[0] == pytest.approx(
        np.corrcoef(held.y, held.scores[:, 0])[0, 1]
    )


def test_binary_auroc_equals_sklearn_within_one_fold():
    held = _held(n_class=2)
    margin = held.scores[:, 1] - held.scores[:, 0]
    assert held.measure("auroc")[0] == pytest.approx(metrics.roc_auc_score(held.y == "c1", margin))


def test_auroc_ignores_shifts_between_folds():
    held = _held(n_class=2, folds=4)
    shift = np.outer(held.fold * 100.0, [0.0, 1.0])
    moved = HeldOut(y=held.y, scores=held.scores + shift, fold=held.fold, classes=held.classes)
    assert moved.measure("auroc")[0] == pytest.approx(held.measure("auroc")[0])


def test_weights_equal_repeated_examples():
    times = np.random.default_rng(2).integers(0, 4, 60)
    rows = np.repeat(np.arange(60), times)
    held = _held(folds=2)
    copy = HeldOut(
        y=held.y[rows], scores=held.scores[rows], fold=held.fold[rows], classes=held.classes
    )
    for metric in ("accuracy", "balanced_accuracy", "auroc"):
        weighted = held.measure(metric, times[None, :].astype(np.float64))
        assert weighted[0] == pytest.approx(copy.measure(metric)[0]), metric
    numbers = _numbers(60)
    twin = HeldOut(y=numbers.y[rows], scores=numbers.scores[rows], fold=held.fold[rows], classes=())
    for metric in ("r2", "correlation"):
        weighted = numbers.measure(metric, times[None, :].astype(np.float64))
        assert weighted[0] == pytest.approx(twin.measure(metric)[0], rel=1e-6), metric


def test_ties_count_half():
    value = np.array([0.0, 0.0, 1.0, 1.0])
    inside = np.array([True, False, True, False])
    won, pairs = concordance(value, inside, np.ones((1, 4)))
    assert won[0] == 2.0  # 1 win, 2 half, 1 loss
    assert pairs[0] == 4.0


def test_a_constant_answer_is_chance():
    y = np.array(["a"] * 30 + ["b"] * 10)
    held = HeldOut(
        y=y,
        scores=np.tile([1.0, 0.0], (40, 1)),
        fold=np.zeros(40, dtype=np.int64),
        classes=("a", "b"),
    )
    assert held.measure("accuracy")[0] == 0.75
    assert held.measure("balanced_accuracy")[0] == 0.5
    assert held.measure("auroc")[0] == 0.5


def test_correlation_with_a_constant_is_zero():
    held = _numbers()
    flat = HeldOut(y=held.y, scores=np.ones_like(held.scores), fold=held.fold, classes=())
    assert flat.measure("correlation")[0] == 0.0
