"""Shocks, do, paths and counterfactuals against closed forms."""

import numpy as np
import pytest

from causal.hca.fit import HierarchicalFit
from causal.hca.gauge import Gauge
from causal.identification.bootstrap import BootstrapOptions, bootstrap_fit
from causal.scm.intervention import CapabilityModel, Do, Measure, Shock, misread
from causal.scores.rows import DomainRows
from workbench.errors import BadOption, UnknownName

A = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [-1.0, 2.0, 0.0]])
SCALES = np.array([2.0, 0.5, 1.0])


@pytest.fixture
def model() -> CapabilityModel:
    rng = np.random.default_rng(0)
    b = (np.eye(3) - A) / SCALES[:, None]
    h = np.hstack([np.eye(3), np.zeros((3, 1))])
    z = rng.standard_normal((200, 3)) * SCALES @ np.linalg.inv(np.eye(3) - A).T + 30
    x = np.hstack([z, 50 + rng.standard_normal((200, 1))])
    return CapabilityModel(
        rows=DomainRows(names=("base",), benchmarks=("p", "q", "r", "s"), blocks=(x,)),
        gauge=Gauge(h=h, b=b[None], offset=np.zeros(3)),
        names=("P", "Q", "R"),
        anchors=("p", "q", "r"),
        scale=(0.0, 100.0),
    )


def after(
    model: CapabilityModel, *actions: Shock | Do | Measure
) -> tuple[list[float], list[float]]:
    found = model.what_if("base", [30.0, 31.0, 32.0, 50.0], actions)
    return (
        [c.after.value for c in found.capabilities],
        [c.after.value for c in found.scores],
    )


def test_nothing_done_changes_nothing(model: CapabilityModel) -> None:
    z, x = after(model)
    np.testing.assert_allclose(z, [30, 31, 32])
    np.testing.assert_allclose(x, [30, 31, 32, 50])


def test_shock_spreads_along_all_paths(model: CapabilityModel) -> None:
    z, x = after(model, Shock(capability="P", size=1.0, unit="points"))
    np.testing.assert_allclose(z, [31, 31.5, 32 - 1 + 0.5 * 2])
    np.testing.assert_allclose(x, [31, 31.5, 32, 50])
    z, _ = after(model, Shock(capability="P", size=1.0))
    np.testing.assert_allclose(z, [32, 32, 32])


def test_do_cuts_what_causes_it(model: CapabilityModel) -> None:
    z, _ = after(model, Do(capability="Q", value=40.0))
    np.testing.assert_allclose(z, [30, 40, 32 + 2 * 9])
    z, _ = after(
        model, Do(capability="Q", value=40.0), Shock(capability="z1", size=1.0, unit="points")
    )
    np.testing.assert_allclose(z, [31, 40, 32 - 1 + 2 * 9])


def test_measurement_moves_one_score_and_no_capability(model: CapabilityModel) -> None:
    z, x = after(model, Measure(benchmark="p", change=5.0))
    np.testing.assert_allclose(z, [30, 31, 32])
    np.testing.assert_allclose(x, [35, 31, 32, 50])
    assert misread(model, {"p": 5.0}) == {"P": 5.0, "Q": 0.0, "R": 0.0}


def test_paths_add_up(model: CapabilityModel) -> None:
    found = model.paths("base", "P", "r")
    assert found.direct.value == pytest.approx(-1.0)
    assert found.indirect.value == pytest.approx(1.0)
    assert found.total.value == pytest.approx(0.0, abs=1e-12)
    assert [path.through for path in found.paths] == [("P", "R"), ("P", "Q", "R")]
    assert sum(path.effect.value for path in found.paths) == pytest.approx(found.total.value)
    with pytest.raises(BadOption, match="does not come before"):
        model.paths("base", "R", "P")


def test_abduction_returns_the_noise(model: CapabilityModel) -> None:
    mean = model.rows.blocks[0].mean(axis=0)
    noise = np.array([1.0, -2.0, 0.5])
    z = np.linalg.inv(np.eye(3) - A) @ (noise * SCALES)
    found = model.what_if("base", mean + np.append(z, 0.0), [])
    np.testing.assert_allclose(list(found.noise.values()), noise, atol=1e-10)


def test_extrapolation_and_broken_scales_are_said(model: CapabilityModel) -> None:
    found = model.what_if("base", [30.0, 31.0, 32.0, 50.0], [Do(capability="Q", value=90.0)])
    text = " ".join(found.warnings)
    assert "Q would be 90.0" in text
    assert "extrapolated" in text
    assert "r would be 150.0, outside its scale of 0 to 100" in text
    assert model.what_if("base", [30.0, 31.0, 32.0, 50.0], []).warnings == ()


def test_bad_questions_are_explained(model: CapabilityModel) -> None:
    scores = [30.0, 31.0, 32.0, 50.0]
    with pytest.raises(UnknownName, match=r"z1 = P \(anchor p\)"):
        model.what_if("base", scores, [Shock(capability="maths", size=1.0)])
    with pytest.raises(UnknownName, match="no benchmark 'z'"):
        model.what_if("base", scores, [Measure(benchmark="z", change=1.0)])
    with pytest.raises(UnknownName, match="no domain 'other'"):
        model.what_if("other", scores, [])
    with pytest.raises(BadOption, match="4 finite scores"):
        model.what_if("base", scores[:2], [])
    with pytest.raises(BadOption, match="same capability"):
        model.what_if(
            "base", scores, [Do(capability="P", value=1.0), Shock(capability="z1", size=1.0)]
        )


def test_response_does_not_depend_on_the_gauge(model: CapabilityModel) -> None:
    t = np.array([[2.0, 0.0, 0.0], [3.0, 1.0, 0.0], [0.0, -1.0, 0.5]])
    other = CapabilityModel(
        rows=model.rows,
        gauge=model.gauge.transform(t, np.ones(3)),
        names=model.names,
        anchors=model.anchors,
    )
    for name in model.names:
        one = model.response("base", Shock(capability=name, size=1.0))
        two = other.response("base", Shock(capability=name, size=1.0))
        assert [s.value for s in one.values()] == pytest.approx([s.value for s in two.values()])


def test_support_brackets_the_domain(model: CapabilityModel) -> None:
    for support in model.support("base"):
        assert support.lowest <= support.low < support.median < support.high <= support.highest


def test_intervals_come_from_resamples_of_the_same_order(planted_fit: HierarchicalFit) -> None:
    boot = bootstrap_fit(planted_fit, options=BootstrapOptions(resamples=12, restarts=1))
    model = CapabilityModel.of(planted_fit, boot)
    spans = model.response("domain-1", Shock(capability="z1", size=1.0))
    assert all(s.low is not None and s.high is not None and s.low < s.high for s in spans.values())
    found = model.what_if("domain-1", np.zeros(6), [Shock(capability="z1", size=1.0)])
    assert all(change.after.low is not None for change in found.scores)
    other = planted_fit.with_order((planted_fit.search.best + 1) % 6)
    with pytest.raises(BadOption, match="another order"):
        CapabilityModel.of(other, boot)
    assert CapabilityModel.of(other).names == other.order_names
