"""Linear readouts: scores, classes, planted truth and agreement with closed forms."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from probes.lens import least_loss
from probes.lens.least_loss import ridge
from probes.linear import Linear
from probes.mean_difference import MeanDifference
from probes.planted import plant_clusters, plant_direction, plant_number
from probes.readouts import ConstantReadout, LinearReadout
from workbench.errors import BadOption, FitError, TooFewClasses, TooLittleData
from workbench.model.activations import Activations


def _generator():
    return torch.Generator().manual_seed(5)


def test_two_classes_share_one_log_odds():
    readout = LinearReadout(torch.tensor([1.0, 2.0]), torch.tensor(0.5), ("no", "yes"))
    scores = readout.scores(torch.tensor([[1.0, 1.0]]))
    assert scores.tolist() == [[-1.75, 1.75]]
    odds = scores.softmax(dim=1)[0, 1]
    assert odds == pytest.approx(torch.sigmoid(torch.tensor(3.5)).item())


def test_a_number_is_one_column():
    readout = LinearReadout(torch.tensor([1.0, 2.0]), torch.tensor(0.5))
    assert readout.scores(torch.ones(3, 2)).tolist() == [[3.5]] * 3


def test_weights_that_do_not_fit_are_refused():
    with pytest.raises(BadOption, match="3 classes"):
        LinearReadout(torch.ones(2, 4), torch.zeros(2), ("a", "b", "c"))
    with pytest.raises(BadOption):
        LinearReadout(torch.ones(4), torch.zeros(()), ("a", "b", "c"))


def test_a_constant_readout_ignores_the_vector():
    readout = ConstantReadout(torch.tensor([0.2, 0.8]), ("a", "b"))
    assert readout.scores(torch.randn(4, 3, generator=_generator())).unique(dim=0).shape == (1, 2)


def test_mean_difference_finds_the_planted_direction():
    planted = plant_direction(d_model=16, gap=4.0, generator=_generator(), n=2000)
    readout = MeanDifference().fit(planted.data)
    cosine = torch.nn.functional.cosine_similarity(readout.weight, planted.direction, dim=0).abs()
    assert cosine > 0.99
    assert readout.weight.norm() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("y", [np.array(["a", "b", "c"] * 4), np.arange(12, dtype=np.float64)])
def test_mean_difference_wants_two_classes(y):
    data = Activations(x=torch.randn(12, 3, generator=_generator()), y=y, groups=np.arange(12))
    with pytest.raises(TooFewClasses):
        MeanDifference().fit(data)


def test_ridge_equals_its_closed_form():
    planted = plant_number(d_model=5, noise=0.3, generator=_generator())
    data = planted.data
    strength = 0.7
    readout = Linear(regularisation=strength).fit(data)
    x = data.x.double().numpy()
    z = (x - x.mean(0)) / x.std(0)
    gram = z.T @ z / len(z) + strength * np.eye(5)
    weight = np.linalg.solve(gram, z.T @ (data.y - data.y.mean()) / len(z))
    expected = z @ weight + data.y.mean()
    assert np.allclose(readout.scores(data.x)[:, 0].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("n_class", [2, 3])
@pytest.mark.parametrize("shape", [(300, 6), (40, 60)])
def test_logistic_regression_equals_scikit_learn(n_class, shape):
    n, width = shape
    data = plant_clusters(d_model=width, n_class=n_class, gap=2.0, generator=_generator(), n=n).data
    strength = 0.05
    readout = Linear(regularisation=strength).fit(data)
    x = data.x.double().numpy()
    z = (x - x.mean(0)) / x.std(0)
    model = LogisticRegression(C=1 / (strength * n), tol=1e-10, max_iter=10_000).fit(z, data.y)
    chances = readout.scores(data.x).double().softmax(dim=1).numpy()
    assert np.allclose(chances, model.predict_proba(z), atol=2e-4)


def test_ridge_is_the_same_in_either_space():
    generator = _generator()
    x = torch.randn(12, 30, generator=generator).double().numpy()
    y = torch.randn(12, generator=generator).double().numpy()
    wide, level = ridge(x, y, 0.2)
    z = x - x.mean(0)
    gram = z.T @ z + 0.2 * 12 * np.eye(30)
    assert np.allclose(wide, np.linalg.solve(gram, z.T @ (y - y.mean())))
    assert level == pytest.approx(y.mean() - wide @ x.mean(0))


def test_a_fit_that_did_not_converge_is_an_error(monkeypatch):
    monkeypatch.setattr(least_loss, "_MAX_ITERATIONS", 1)
    data = plant_direction(d_model=6, gap=1.0, generator=_generator()).data
    with pytest.raises(FitError, match="did not converge in 1 iterations"):
        Linear(regularisation=1e-3).fit(data)


def test_a_constant_feature_does_no_harm():
    data = plant_direction(d_model=4, gap=3.0, generator=_generator()).data
    wide = Activations(
        x=torch.cat([data.x, torch.full((len(data), 1), 7.0)], dim=1), y=data.y, groups=data.groups
    )
    readout = Linear().fit(wide)
    assert torch.isfinite(readout.weight).all()
    assert readout.weight[-1] == 0


def test_selection_prefers_strong_shrinkage_for_noise():
    generator = _generator()
    x = torch.randn(60, 40, generator=generator)
    y = np.where(torch.rand(60, generator=generator).numpy() < 0.5, "a", "b")
    data = Activations(x=x, y=y, groups=np.arange(60).astype(str))
    assert Linear(select=True)._selected(data) >= 10.0
    planted = plant_number(d_model=5, noise=0.1, generator=generator).data
    assert Linear(select=True)._selected(planted) <= 1e-2


def test_selection_needs_enough_examples():
    data = Activations(
        x=torch.randn(4, 3, generator=_generator()),
        y=np.array(["a", "a", "a", "b"]),
        groups=np.arange(4).astype(str),
    )
    with pytest.raises(TooLittleData):
        Linear(select=True).fit(data)


@pytest.mark.parametrize(
    "planted",
    [
        plant_direction(d_model=16, gap=4.0, generator=_generator()),
        plant_clusters(d_model=16, n_class=4, gap=4.0, generator=_generator()),
        plant_number(d_model=16, noise=0.5, generator=_generator()),
    ],
    ids=["direction", "clusters", "number"],
)
def test_planted_answers_are_found_and_lost(planted):
    assert planted.answer(Linear()) >= planted.at_least
    assert planted.answer(Linear(), shuffled=True) <= planted.at_most
