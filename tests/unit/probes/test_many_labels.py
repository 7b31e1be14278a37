"""Readouts of many labellings at once are those that are fitted one by one."""

import numpy as np
import pytest
import torch

from probes.lens.least_loss import logistic
from probes.lens.many_labels import logistic_each
from probes.linear import Linear
from workbench.methods.contracts import FitsMany
from workbench.model.activations import Activations


def _vectors(n: int, width: int) -> tuple[np.random.Generator, np.ndarray]:
    draw = np.random.default_rng(n + width)
    x = draw.normal(size=(n, width))
    return draw, (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.mark.parametrize(("n", "width", "n_class"), [(300, 8, 2), (300, 8, 4), (30, 50, 2)])
def test_the_slope_is_zero_and_the_readout_that_of_one_fit(
    n: int, width: int, n_class: int
) -> None:
    draw, x = _vectors(n, width)
    signal = np.clip(3 * x[:, 0] + n_class / 2, 0, n_class - 1).astype(int)
    which = np.stack([signal, *(draw.permutation(np.arange(n) % n_class) for _ in range(4))])
    weights, biases, reached = logistic_each(x, which, n_class, 0.02)
    assert reached.all()
    for w, b, labels in zip(weights, biases, which, strict=True):
        score = x @ w.T + b
        if n_class == 2:
            wrong = 1 / (1 + np.exp(-score)) - labels[:, None]
        else:
            raised = np.exp(score)
            wrong = raised / raised.sum(axis=1, keepdims=True) - np.eye(n_class)[labels]
        assert np.abs(wrong.T @ x / n + 0.02 * w).max() < 1e-7
        assert np.abs(wrong.mean(axis=0)).max() < 1e-7
        one, bias = logistic(x, labels, n_class, 0.02)
        assert np.allclose(x @ one.T + bias, score, atol=2e-3)


def _labels(kind: str, draw: np.random.Generator, n: int) -> list[np.ndarray]:
    if kind == "numbers":
        return [draw.normal(size=n) for _ in range(3)]
    return [np.array(list("abc"))[draw.permutation(np.arange(n) % 3)] for _ in range(3)]


@pytest.mark.parametrize("kind", ["numbers", "classes"])
@pytest.mark.parametrize("probe", [Linear(), Linear(regularisation=0.3), Linear(select=True)])
def test_each_fit_is_that_of_its_labels(kind: str, probe: Linear) -> None:
    draw, x = _vectors(90, 6)
    labels = _labels(kind, draw, 90)
    data = Activations(x=torch.from_numpy(x * 5 + 2).float(), y=labels[0], groups=np.arange(90))
    assert isinstance(probe, FitsMany)
    for y, found in zip(labels, probe.fit_each(data, labels), strict=True):
        one = probe.fit(data.relabel(y))
        assert found.classes == one.classes
        assert torch.allclose(found.scores(data.x), one.scores(data.x), atol=1e-3)


def test_labels_that_cannot_be_told_apart_in_common_are_fitted_one_by_one() -> None:
    _, x = _vectors(40, 3)
    labels = [np.array(list("ab"))[np.arange(40) % 2], np.array(list("bc"))[np.arange(40) % 2]]
    data = Activations(x=torch.from_numpy(x).float(), y=labels[0], groups=np.arange(40))
    found = Linear().fit_each(data, labels)
    assert [one.classes for one in found] == [("a", "b"), ("b", "c")]


@pytest.mark.parametrize("kind", ["numbers", "classes"])
def test_scores_do_not_depend_on_the_size_of_the_vectors(kind: str) -> None:
    draw, x = _vectors(60, 5)
    labels = _labels(kind, draw, 60)
    small, large = (
        Activations(x=torch.from_numpy(x * size).float(), y=labels[0], groups=np.arange(60))
        for size in (1e-3, 70.0)
    )
    assert Linear.is_scale_free
    one, other = (Linear().fit(data).scores(data.x) for data in (small, large))
    assert torch.allclose(one, other, atol=1e-4)
