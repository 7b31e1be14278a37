"""Classes that a resample lacks, and the constant answer of a training part."""

import numpy as np
import pytest

from probes.linear import Linear
from tests.unit.methods.test_evaluate import QUICK, SITE, _rows
from workbench.methods.contracts import Context
from workbench.methods.evaluate import evaluate
from workbench.methods.scores import HeldOut


def test_balanced_accuracy_is_over_the_classes_that_are_there():
    y = np.array(["a", "a", "b", "c"])
    scores = np.array([[1.0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]])
    held = HeldOut(y=y, scores=scores, fold=np.zeros(4, dtype=np.int64), classes=("a", "b", "c"))
    weights = np.array([[1.0, 1, 1, 1], [1, 1, 1, 0], [0, 2, 1, 0]])
    found = held.measure("balanced_accuracy", weights)
    assert found.tolist() == pytest.approx([1.5 / 3, 1.5 / 2, 1 / 2])


def test_the_constant_answer_comes_from_the_training_part():
    """The mean of other folds explains less than nothing; that of one's own would be a gift."""
    y = np.arange(15, dtype=np.float64) ** 2
    x = np.random.default_rng(0).standard_normal((15, 4)).astype(np.float32)
    result = evaluate(Linear(), {SITE: x}, _rows(y.tolist()), Context(resamples=20), QUICK)
    majority = result.table("sites").frame["majority"]
    assert (majority < 0).all()


class _Lengths:
    """A readout probe that keeps the mean length of what it is fitted on."""

    def __init__(self):
        self.seen = []

    def sites(self, spec):
        return (SITE,)

    def fit(self, data):
        self.seen.append(float(data.x.norm(dim=1).mean()))
        return Linear().fit(data)


def test_random_vectors_are_as_long_as_the_real_ones():
    draw = np.random.default_rng(0)
    x = (7 * draw.standard_normal((40, 64))).astype(np.float32)
    probe = _Lengths()
    evaluate(probe, {SITE: x}, _rows(["a", "b"] * 20), Context(resamples=20), QUICK)
    assert probe.seen[-25:] == pytest.approx(
        [float(np.linalg.norm(x, axis=1).mean())] * 25, rel=0.1
    )
