"""Closed-form probes: ridge itself, and what only products of features tell."""

import numpy as np
import pytest

from workbench.methods.eraser import leace, one_hot
from workbench.methods.kernel_probe import held_out_scores


def accuracy(x, y, shape, n_train=600):
    hot = one_hot([str(i) for i in y])
    scores = held_out_scores(x[:n_train], hot[:n_train], x[n_train:], shape=shape)
    return float((scores.argmax(axis=1) == hot[n_train:].argmax(axis=1)).mean())


def test_the_linear_probe_is_ridge_on_standardised_features() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((80, 5)) * [1, 2, 3, 4, 5] + 7, rng.standard_normal((80, 2))
    train, test = x[:60], x[60:]
    z = (train - train.mean(axis=0)) / train.std(axis=0)
    level = y[:60].mean(axis=0)
    weights = np.linalg.solve(z.T @ z + 5 * np.eye(5), z.T @ (y[:60] - level))
    expected = (test - train.mean(axis=0)) / train.std(axis=0) @ weights + level
    np.testing.assert_allclose(held_out_scores(train, y[:60], test), expected, atol=1e-10)


@pytest.mark.parametrize("d", [8, 24])
def test_a_concept_in_the_variance_is_told_by_the_quadratic_probe_alone(d: int) -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 900)
    x = rng.standard_normal((900, d))
    x[:, :4] *= np.where(y == 1, 3.0, 0.5)[:, None]
    assert accuracy(x, y, "linear") < 0.6
    assert accuracy(x, y, "quadratic") > 0.8
    # No linear eraser can take it away, and labels of noise tell nothing.
    erased = leace(x, one_hot([str(i) for i in y])).erase(x)
    assert accuracy(erased, y, "quadratic") > 0.8
    assert accuracy(x, rng.integers(0, 2, 900), "quadratic") < 0.6
