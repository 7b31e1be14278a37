"""Agreement is one where the signal is the truth, minus one where it is reversed, else chance."""

from dataclasses import replace

import numpy as np
import pytest

from probes.contrast.agreement import CONTRAST, ENTROPY, SURPRISAL, Evaluation, correlations, hits

N = 12


def judged(generator, *, contrast="truth", critical=None):
    """A response whose drops are random and whose critical token has the largest one."""
    drop = generator.random(N)
    drop[-1] = np.nan
    worst = int(np.nanargmax(drop)) + 1
    signal = {"truth": drop, "reversed": -drop, "noise": generator.random(N)}[contrast]
    return Evaluation(
        signals={
            CONTRAST: np.nan_to_num(signal, nan=9.0),
            ENTROPY: generator.random(N),
            SURPRISAL: np.full(N, 0.5),
        },
        drop=drop,
        candidates=range(1, N),
        critical=worst if critical is None else critical,
    )


def many(n=400, **options):
    generator = np.random.default_rng(5)
    return [judged(generator, **options) for _ in range(n)]


def by_name(estimates):
    return {e.name: e for e in estimates}


def test_a_signal_that_is_the_truth_agrees_fully_and_reversed_not_at_all():
    for contrast, rho, at_one in (("truth", 1.0, 1.0), ("reversed", -1.0, 0.0)):
        some = many(20, contrast=contrast)
        assert by_name(correlations(some))["rank correlation, contrast"].value == (
            pytest.approx(rho)
        )
        hit = by_name(hits(some, 1))["hit@1, contrast"]
        assert hit.value == at_one
        assert hit.method == "Clopper–Pearson"
        assert hit.high - hit.low > 0.1, "twenty of twenty do not prove that it always hits"


def test_noise_is_at_chance_and_chance_is_the_control():
    some = many(contrast="noise")
    rho = by_name(correlations(some))["rank correlation, contrast"]
    assert rho.low < 0 < rho.high
    assert (rho.control, rho.control_name) == (0.0, "random order")
    for k in (1, 3, 20):
        hit = by_name(hits(some, k))[f"hit@{k}, contrast"]
        chance = min(1.0, k / (N - 1))
        assert hit.control == pytest.approx(chance)
        assert abs(hit.value - chance) <= 4 * np.sqrt(chance * (1 - chance) / len(some))


def test_equal_values_are_a_random_order():
    some = many(30)
    hit = by_name(hits(some, 3))["hit@3, surprisal"]
    assert hit.value == pytest.approx(3 / (N - 1))
    assert some[0].rank(SURPRISAL) == pytest.approx((N - 1 + 1) / 2)
    assert some[0].correlation(SURPRISAL) is None
    rho = by_name(correlations(some))["rank correlation, surprisal"]
    assert rho.value is None
    assert rho.note


def test_the_last_token_is_no_candidate_however_suspicious():
    one = judged(np.random.default_rng(0))
    assert one.signals[CONTRAST].argmax() == N - 1
    assert one.rank(CONTRAST) == 1


def test_differences_are_paired_and_trajectories_without_decision_count_for_no_hit():
    generator = np.random.default_rng(1)
    some = [judged(generator) for _ in range(6)]
    undecided = [replace(one, critical=None) for one in some]
    alone, both = (by_name(hits(x, 1)) for x in (some, some + undecided))
    assert alone["hit@1, contrast"] == both["hit@1, contrast"]
    assert both["hit@1, contrast"].n == 6
    gap = alone["hit@1, contrast − entropy"]
    assert gap.value == pytest.approx(
        alone["hit@1, contrast"].value - alone["hit@1, entropy"].value
    )
    flat = replace(some[0], drop=np.zeros(N))
    assert flat.correlation(CONTRAST) is None
    assert by_name(hits(undecided, 1))["hit@1, contrast"].value is None
