"""The curtailed scan decides as the paper does; the sequential test errs as often as it says."""

import itertools
from functools import cache

import numpy as np
import pytest

from probes.critical.rules import (
    ALIVE_AT,
    BackwardScan,
    forward_rule,
    pass_at_k,
    success_curve,
)
from probes.critical.screening import Screening, SequentialTest


def scan(outcomes):
    """Run the backward scan on a matrix of outcomes [position, draw]."""
    positions = range(1, len(outcomes) + 1)
    machine = BackwardScan(positions, draws=outcomes.shape[1])
    while todo := machine.pending():
        for position in todo[:1]:
            while machine.need(position):
                draw = machine.spent[position]
                machine.record(position, success=bool(outcomes[position - 1, draw]))
    return machine


@pytest.mark.parametrize("cases", [800, pytest.param(20_000, marks=pytest.mark.slow)])
def test_backward_scan_equals_forward_rule_on_random_counts(cases):
    rng = np.random.default_rng(0)
    total = spent = 0
    for _ in range(cases):
        n = int(rng.integers(1, 9))
        rates = rng.choice([0.0, 0.0, 0.05, 0.1, 0.5, 1.0], size=n)
        outcomes = rng.random((n, 8)) < rates[:, None]
        counts = {i + 1: int(row.sum()) for i, row in enumerate(outcomes)}
        machine = scan(outcomes)
        found, wanted = machine.decision(), forward_rule(counts)
        assert found is not None
        assert (found.position, found.fallback) == (wanted.position, wanted.fallback), counts
        assert found.hopeless == wanted.hopeless, counts
        total += outcomes.size
        spent += sum(machine.spent.values())
    assert spent < 0.8 * total


def test_forward_rule_by_hand():
    assert forward_rule({1: 9, 2: 0, 3: 5, 4: 0, 5: 3, 6: 0}).position == 4
    only_fallback = forward_rule({1: 9, 2: 0, 3: 5, 4: 1})
    assert (only_fallback.position, only_fallback.fallback) == (2, True)
    assert forward_rule({1: 9, 2: 5}).position is None
    assert forward_rule({1: 0, 2: 0}).hopeless


def test_sequential_test_steps_and_bounds():
    test = SequentialTest()
    assert test.success_step == pytest.approx(2.996, abs=1e-3)
    assert test.failure_step == pytest.approx(-0.213, abs=1e-3)
    assert test.bound == pytest.approx(2.944, abs=1e-3)
    assert test.verdict(0, 13) == "open"
    assert test.verdict(0, 14) == "dead"
    assert test.verdict(1, 1) == "alive"


@pytest.mark.parametrize(("rate", "draws"), [(0.0, 14), (0.2, 9), (0.5, 3)])
def test_sequential_test_draws(rate, draws):
    rng = np.random.default_rng(1)
    verdict = cache(SequentialTest().verdict)
    needed = []
    for _ in range(2000):
        wins = n = 0
        while verdict(wins, n) == "open" and n < 10_000:
            n += 1
            wins += int(rng.random() < rate)
        needed.append(n)
    assert np.mean(needed) == pytest.approx(draws, abs=1.0)


@pytest.mark.parametrize(("rate", "wrong"), [(0.01, "alive"), (0.20, "dead")])
def test_sequential_test_error_rates(rate, wrong):
    rng = np.random.default_rng(2)
    verdict = cache(SequentialTest().verdict)
    errors = 0
    for _ in range(2000):
        wins = n = 0
        while verdict(wins, n) == "open":
            n += 1
            wins += int(rng.random() < rate)
        errors += verdict(wins, n) == wrong
    # Wald's bound on the error, plus three standard deviations of 2,000 runs; overshoot of the
    # large success step makes the test err more often on the alive side than its nominal 5 %.
    assert errors / 2000 <= (0.16 if wrong == "alive" else 0.065)


def test_screening_stops_at_the_first_alive_position():
    machine = Screening(range(1, 9), test=SequentialTest())
    rates = {1: 1, 2: 1, 3: 1, 4: 1, 5: 0, 6: 0, 7: 0, 8: 0}
    while todo := machine.pending():
        machine.record(todo[0], success=bool(rates[todo[0]]))
    assert machine.candidate() == 5
    assert machine.spent[4] == 1
    assert machine.spent[3] == 0
    assert sum(machine.spent.values()) == 4 * 14 + 1


def test_a_tied_position_shares_the_verdict_of_the_next_one():
    machine = Screening(range(1, 9), test=SequentialTest(), tied=(2, 4, 5, 7))
    while todo := machine.pending():
        machine.record(todo[0], success=todo[0] <= 3)
    assert machine.candidate() == 4
    assert [machine.spent[i] for i in (4, 5, 6, 7, 8)] == [0, 0, 14, 0, 14]
    machine.confirm(4, wins=9, draws=64)
    assert machine.verdict(4) == "alive"


def enumerate_success(model, prefix, length, wins):
    """Exact success probability of a small model by enumeration."""
    if len(prefix) == length:
        return float(wins(prefix))
    p = model(prefix)
    return sum(p[s] * enumerate_success(model, (*prefix, s), length, wins) for s in range(len(p)))


@pytest.mark.parametrize("symbols", [2, 3])
def test_recursion_is_exact_on_enumerable_models(symbols):
    rng = np.random.default_rng(symbols)
    length = 5
    for trajectory in itertools.islice(itertools.product(range(symbols), repeat=length), 60):
        tables = {}

        def model(prefix, tables=tables):
            return tables.setdefault(prefix, rng.dirichlet(np.ones(symbols)))

        def wins(sequence, trajectory=trajectory):
            return sequence != trajectory and sum(sequence) % 2 == 0

        q, a, truth = [], [], []
        for i in range(length):
            prefix = trajectory[:i]
            p = model(prefix)
            taken = trajectory[i]
            q.append(p[taken])
            off = sum(
                p[s] * enumerate_success(model, (*prefix, s), length, wins)
                for s in range(symbols)
                if s != taken
            )
            a.append(off / (1 - p[taken]))
            truth.append(enumerate_success(model, prefix, length, wins))
        curve = success_curve(np.array(q), np.array(a))
        np.testing.assert_allclose(curve[:-1], truth, atol=1e-12)


def test_off_path_sampling_within_three_standard_deviations():
    rng = np.random.default_rng(7)
    q, a = rng.uniform(0.2, 0.99, 12), rng.uniform(0, 0.6, 12)
    truth = success_curve(q, a)
    n = 200
    draws = rng.binomial(n, a, size=(500, 12)) / n
    estimates = success_curve(q, draws)
    error = np.abs(estimates.mean(axis=0) - truth)[:-1]
    assert (error <= 3 * estimates.std(axis=0)[:-1] / np.sqrt(500)).all()


def test_pass_at_k_matches_enumeration():
    outcomes = [1, 0, 0, 1, 0, 0]
    for k in range(1, 7):
        subsets = list(itertools.combinations(outcomes, k))
        assert pass_at_k(2, 6, k) == pytest.approx(np.mean([any(s) for s in subsets]))


def test_alive_threshold_is_the_papers():
    assert (ALIVE_AT - 1) / 64 < 0.05 < ALIVE_AT / 64
