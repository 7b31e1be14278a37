"""The risk of a linear head: within three standard errors of its closed form."""

from dataclasses import replace

import numpy as np
import pytest

from probes.beliefs.risk import exact_risk, limit_risk, simulated_risk
from probes.head_tuning import HeadTuning
from workbench.errors import BadOption, TooLittleData
from workbench.methods.contracts import Context
from workbench.model.model import Model

N = 30


@pytest.mark.parametrize("p", [6, 15, 24, 36, 60, 120])
def test_the_simulated_risk_is_within_three_standard_errors_of_the_closed_form(p) -> None:
    draw = np.random.default_rng(p)
    found = [
        simulated_risk(p, N, noise=0.7, signal=1.3, penalty=0.0, generator=draw) for _ in range(400)
    ]
    error = np.std(found, ddof=1) / len(found) ** 0.5
    assert abs(np.mean(found) - exact_risk(p, N, noise=0.7, signal=1.3)) < 3 * error


def test_the_closed_form_has_the_known_limit_and_a_peak_that_ridge_removes() -> None:
    for ratio in (0.25, 0.5, 2.0, 4.0):
        many = exact_risk(round(ratio * 10**6), 10**6, noise=0.7, signal=1.3)
        assert many == pytest.approx(limit_risk(ratio, noise=0.7, signal=1.3), rel=1e-4)
    assert limit_risk(0.5, noise=1.0, signal=1.0) == 1
    assert limit_risk(2.0, noise=1.0, signal=1.0) == 1.5
    assert np.isinf(
        [exact_risk(N, N, noise=1.0, signal=1.0), limit_risk(1.0, noise=1.0, signal=1.0)]
    ).all()
    plain, ridge = (
        np.median(
            [
                simulated_risk(
                    N, N, noise=0.7, signal=1.3, penalty=penalty,
                    generator=np.random.default_rng(i),
                )
                for i in range(40)
            ]
        )
        for penalty in (0.0, 0.1)
    )  # fmt: skip
    assert plain > 3 * ridge


def test_the_report_compares_both_and_says_where_the_peak_is(tiny_llama: Model) -> None:
    context = replace(Context.of(tiny_llama), task="hidden-markov?length=10", limit=20)
    probe = HeadTuning(ratios="0.3,1,3", examples=20, draws=20)
    found = probe.study(tiny_llama, (), context)
    rows = found.tables["closed_form"].frame
    assert rows["p"].tolist() == [6, 20, 60]
    assert rows["z"].abs().max() < 4
    assert rows["closed_form"].isna().tolist() == [False, True, False]
    table = found.tables["risk"].frame
    assert table["states"].idxmax() == 1
    assert table["states_ridge"][1] < table["states"][1] / 2
    with pytest.raises(BadOption, match="ratios"):
        replace(probe, ratios="0.5,x").study(tiny_llama, (), context)
    with pytest.raises(TooLittleData, match="hold 100 symbols"):
        replace(probe, examples=101).study(tiny_llama, (), context)
