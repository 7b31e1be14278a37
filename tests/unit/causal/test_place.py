"""Placing a model: capabilities, percentiles, neighbours and missing scores."""

import numpy as np
import pytest

from causal.hca.fit import HierarchicalFit
from causal.scm.intervention import CapabilityModel
from causal.scm.place import place
from causal.scores.leaderboard import ScoreTable
from workbench.errors import BadOption, TooLittleData, UnknownName

DOMAIN = "qwen2.5-14b"


@pytest.fixture(scope="module")
def model(shipped_fit: HierarchicalFit) -> CapabilityModel:
    return CapabilityModel.of(shipped_fit, scale=(0.0, 100.0))


def row(model: CapabilityModel, index: int) -> dict[str, float]:
    block = model.rows.blocks[model.domain(DOMAIN)]
    return dict(zip(model.rows.benchmarks, map(float, block[index]), strict=True))


def test_a_known_model_finds_itself(model: CapabilityModel, shipped: ScoreTable) -> None:
    names = list(shipped.frame["model"][shipped.frame["domain"] == DOMAIN])
    found = place(model, DOMAIN, row(model, 7), names=names)
    assert found.neighbours[0].model == names[7]
    assert found.neighbours[0].distance == pytest.approx(0.0, abs=1e-9)
    assert len(found.neighbours) == 5
    z = model.gauge.capabilities(model.rows.blocks[model.domain(DOMAIN)])[7]
    assert [s.value.value for s in found.standings] == pytest.approx(list(z))
    assert all(0 <= s.percentile <= 100 for s in found.standings)
    for score in found.scores:
        assert score.given
        assert score.reconstructed + score.residual == pytest.approx(score.value.value)


def test_mean_model_has_no_noise_and_no_residual(model: CapabilityModel) -> None:
    mean = model.rows.blocks[model.domain(DOMAIN)].mean(axis=0)
    found = place(model, DOMAIN, dict(zip(model.rows.benchmarks, map(float, mean), strict=True)))
    np.testing.assert_allclose([s.noise for s in found.standings], 0.0, atol=1e-9)
    np.testing.assert_allclose([s.residual for s in found.scores], 0.0, atol=1e-9)
    assert found.residual_percentile < 2
    assert found.neighbours == ()


@pytest.mark.parametrize("hidden", ["MATH Lvl 5", "IFEval"])
def test_missing_scores_are_covered_by_their_intervals(model: CapabilityModel, hidden: str) -> None:
    inside = []
    for index in range(0, 243, 4):
        scores = row(model, index)
        truth = scores.pop(hidden)
        found = place(model, DOMAIN, scores)
        predicted = next(s for s in found.scores if not s.given)
        assert predicted.benchmark == hidden
        assert predicted.value.low is not None
        assert predicted.value.high is not None
        inside.append(predicted.value.low <= truth <= predicted.value.high)
        assert any("predicted, not measured" in w for w in found.warnings)
        assert all(s.value.low is not None for s in found.standings)
    assert 0.8 <= np.mean(inside) <= 0.99


def test_outliers_are_named(model: CapabilityModel) -> None:
    scores = dict.fromkeys(model.rows.benchmarks, 1.0)
    found = place(model, DOMAIN, scores)
    assert any("lies outside what 98 in 100" in w for w in found.warnings)


def test_bad_input_is_explained(model: CapabilityModel) -> None:
    with pytest.raises(UnknownName, match="no benchmark 'ARC'"):
        place(model, DOMAIN, {"ARC": 1.0})
    with pytest.raises(UnknownName, match="no domain 'gpt'"):
        place(model, "gpt", {"BBH": 1.0})
    with pytest.raises(BadOption, match="none given"):
        place(model, DOMAIN, {})
    with pytest.raises(BadOption, match="finite"):
        place(model, DOMAIN, {"BBH": float("nan")})
    with pytest.raises(BadOption, match="BBH = 120 lies outside 0 to 100"):
        place(model, DOMAIN, {"BBH": 120.0})


def test_too_small_a_domain_predicts_nothing(planted_fit: HierarchicalFit) -> None:
    model = CapabilityModel.of(planted_fit)
    small = CapabilityModel(
        rows=model.rows.replace([block[:10] for block in model.rows.blocks]),
        gauge=model.gauge,
        names=model.names,
        anchors=model.anchors,
    )
    with pytest.raises(TooLittleData, match="10 models cannot predict"):
        place(small, "domain-1", dict.fromkeys(model.rows.benchmarks[:5], 0.0))
