"""Where off-path draws are spent, how sure they make of the curve, and what forbidding gains."""

import numpy as np
import pytest
from scipy import stats

from probes.critical.forbidden import pass_estimates
from probes.critical.offpath import _curve, _shares
from probes.critical.rollouts import Outcome
from probes.critical.search import Forced
from workbench.sampling.rollout import Branch


def test_draws_go_where_they_leave_most_spread_in_the_curve():
    q = np.array([0.5, 0.999, 0.8, 0.3])
    wins, draws = np.array([3, 0, 0, 8]), np.array([8, 0, 8, 8])
    off = np.array([0, 2, 3])
    found = _shares(q, wins, draws, off)
    # The mean over earlier positions of the probability to stay on the path up to this one.
    reach = [np.mean([np.prod(q[j:i]) for j in range(i + 1)]) for i in off]
    rate = [4 / 10, 1 / 10, 9 / 10]
    weight = [
        r * (1 - q[i]) * (a * (1 - a)) ** 0.5 for r, i, a in zip(reach, off, rate, strict=True)
    ]
    np.testing.assert_allclose(found, np.array(weight) / sum(weight), rtol=1e-12)


def test_bounds_are_those_of_the_jeffreys_interval():
    wins, draws = np.array([3]), np.array([20])
    found = _curve(np.array([0.6]), wins, draws, np.random.default_rng(0), samples=40_000)
    beta = stats.beta(3.5, 17.5)
    assert found.p[0] == pytest.approx(0.4 * 3 / 20)
    assert found.low[0] == pytest.approx(0.4 * beta.ppf(0.025), rel=0.03)
    assert found.high[0] == pytest.approx(0.4 * beta.ppf(0.975), rel=0.03)
    assert found.p[1] == found.low[1] == found.high[1] == 0


def _forced(kind, *successes):
    branches = [Branch(position=0, draw=k, banned=5, full=True) for k in range(len(successes))]
    outcomes = tuple(
        Outcome(branch=branch, tokens=(1,), success=bool(right), stopped=True)
        for branch, right in zip(branches, successes, strict=True)
    )
    return Forced(kind=kind, position=1, outcomes=outcomes)


def test_the_gain_of_forbidding_is_critical_less_random():
    trajectories = [
        (_forced("critical", 1, 1, 0, 0), _forced("random", 0, 0, 0, 0)),
        (_forced("critical", 1, 0, 0, 0), _forced("random", 0, 0, 0, 1)),
        (_forced("critical", 1, 1, 1, 1),),
    ]
    alone, gain = pass_estimates(trajectories, 4)
    assert (alone.value, alone.control, alone.n) == (1.0, 0.5, 2)
    assert gain.value == 0.5
