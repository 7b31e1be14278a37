"""Three estimators of a reward against their closed forms, and against planted states."""

import numpy as np
import pytest

from causal import deconfounded_reward
from causal.concepts.deconfound import ESTIMATORS, design, fit_rewards, planted
from causal.deconfounded_reward import DeconfoundedReward
from workbench.errors import BadRows
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
@pytest.mark.parametrize(("theta", "gamma"), [(1.0, 2.0), (-0.5, 1.0)])
def test_slopes_tend_to_their_closed_forms(rho: float, theta: float, gamma: float) -> None:
    found = planted(theta, gamma, rho, 100_000, np.random.default_rng(0))
    assert tuple(found) == ESTIMATORS
    for name, (slope, limit) in found.items():
        assert slope == pytest.approx(limit, abs=0.03), name
    if rho:
        assert abs(found["joint"][0] - theta) < 0.1 * abs(found["naive"][0] - theta)
        assert abs(found["joint"][0] - theta) < 0.2 * abs(found["outcome only"][0] - theta)


def test_the_joint_fit_is_least_squares_of_both_up_to_cross_fitting() -> None:
    rng = np.random.default_rng(1)
    c = rng.standard_normal((4000, 2))
    x = c @ rng.standard_normal((2, 3)) + rng.standard_normal((4000, 3))
    y = x @ [1.0, -2.0, 0.5] + c @ [3.0, 1.0] + rng.standard_normal(4000)
    joint = fit_rewards(x, y, c, np.arange(4000) % 5)["joint"]
    both = np.column_stack([x, c, np.ones(4000)])
    expected = np.linalg.lstsq(both, y, rcond=None)[0]
    np.testing.assert_allclose(joint.weights, expected[:3], atol=5e-3)
    np.testing.assert_allclose(joint.confounded, expected[3:5], atol=2e-2)


def test_ridge_tends_to_least_squares_and_to_nothing() -> None:
    rng = np.random.default_rng(2)
    x, y, c = rng.standard_normal((300, 4)), rng.standard_normal(300), np.zeros((300, 0))
    plain, little, much = (
        fit_rewards(x, y, c, np.arange(300) % 5, penalty=p)["naive"].weights
        for p in (0.0, 1e-6, 1e9)
    )
    np.testing.assert_allclose(plain, little, atol=1e-6)
    assert np.abs(much).max() < 1e-6


def test_confounders_are_powers_of_numbers_and_columns_of_words() -> None:
    rows = [Example(text="x", fields={"n": i, "day": "ab"[i % 2]}) for i in range(6)]
    found = design(rows, ("n", "day"), degree=2)
    assert found.shape == (6, 3)
    np.testing.assert_allclose(found[:, 1], found[:, 0] ** 2)
    assert found[:, 2].tolist() == [0, 1, 0, 1, 0, 1]
    with pytest.raises(BadRows, match="'hour', 'week'"):
        design(rows, ("hour", "week"), degree=1)


def test_a_reward_of_planted_states_is_freed_of_the_confounder(
    tiny_llama: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    n = 600
    c, q = rng.standard_normal(n), rng.standard_normal(n)
    x = rng.standard_normal((n, 16)).astype(np.float32)
    x[:, 0] += 2 * q
    x[:, 1] += 2 * c
    y = q + 2 * c + 0.5 * rng.standard_normal(n)
    monkeypatch.setattr(
        deconfounded_reward, "text_vectors", lambda _m, _t, sites, _c: {sites[0]: x}
    )
    rows = [
        Example(text=f"t{i}", label=float(y[i]), fields={"time": float(c[i])}) for i in range(n)
    ]
    probe = DeconfoundedReward(confounders=("time",))
    found = {e.name: e for e in probe.study(tiny_llama, rows, Context.of(tiny_llama)).estimates}
    assert found["confounder.naive"].value > 0.7
    assert abs(found["confounder.joint"].value) < 0.2
    assert found["quality.joint"].value > 0.7
    assert found["quality.joint"].low > abs(found["quality.joint"].control)
    assert abs(found["quality.naive"].control) < 0.2
    words = [Example(text="x", label="abc"[i % 3]) for i in range(30)]
    with pytest.raises(BadRows, match="3 kinds"):
        probe.study(tiny_llama, words, Context.of(tiny_llama))
