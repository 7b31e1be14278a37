"""Units measured row by row, functions of sums over units, and one place by another."""

import numpy as np
import pytest

from workbench.result.along import estimates_along, ratio_estimate, ratios_along
from workbench.result.metric import Axis, Control, Metric
from workbench.result.resampling import left_out
from workbench.result.row_samples import samples_of
from workbench.result.samples import Samples
from workbench.result.sums import ratio

ROWS = [
    {"text": 0, "kl": 1.0, "kl_random": 0.0},
    {"text": 0, "kl": 3.0, "kl_random": None},
    {"text": 1, "kl": 5.0},
    {"text": 0, "change": "open", "differs": True},
    {"text": 1, "change": "open", "differs": False},
    {"text": 1, "change": "closed", "differs": True},
]
METRICS = {
    "kl": Metric(unit="nats", help="Distance.", axes=()),
    "differs": Metric(
        unit="proportion", help="Share.", axes=("change",), bounds=(0, 1), headline=None
    ),
    "absent": Metric(unit="", help="In no row.", axes=()),
}


def test_rows_are_averaged_within_units_and_places_are_labels() -> None:
    found = samples_of(ROWS, METRICS, controls_of={"random": Control("noise")}, n_given=3)
    assert list(found.metrics) == ["kl", "differs"]
    assert (found.n, found.n_given) == (2, 3)
    kl = found.estimate("kl", "random")
    assert (kl.value, kl.control) == (3.5, 0.0)
    assert "n = 1" in kl.control_name
    share = found.mean("differs")
    assert found.axes_of["change"].labels == ("open", "closed")
    assert share.value.tolist() == [0.5, 1.0]
    assert share.n.tolist() == [2, 1]
    assert found.estimate("differs", at={"change": "closed"}).n == 1
    assert found.estimate("differs", at={"change": "open"}).name == "differs.open"


def test_rows_of_a_group_are_drawn_together() -> None:
    rows = [{"i": i, "problem": i // 5, "right": float(i % 2)} for i in range(40)]
    about = {"right": Metric(unit="proportion", help="Share.", axes=(), bounds=(0, 1))}
    alone = samples_of(rows, about, by=("i",)).estimate("right")
    grouped = samples_of(rows, about, by=("i",), group="problem").estimate("right")
    assert alone.n == grouped.n == 40
    assert "8 groups" in grouped.method
    assert "groups" not in alone.method


def _summed() -> tuple[Samples, np.ndarray]:
    x = np.random.default_rng(0).uniform(1, 2, size=(12, 2, 2))
    about = {"speed": Metric(unit="s", help="", axes=("who",), headline=None, of=ratio)}
    return Samples.of(
        {"": {"speed": x}}, about, axes_of={"who": Axis(help="", labels=("a", "b"))}
    ), x


def test_a_function_of_sums_is_that_of_all_units_with_one_left_out_for_the_interval() -> None:
    found, x = _summed()
    speed = found.estimate("speed", at={"who": "b"})
    rest = [np.delete(x, i, axis=0)[:, 1].sum(axis=0) for i in range(12)]
    interval = left_out(speed.value, np.array([a / b for a, b in rest]))
    assert speed.value == pytest.approx(x[:, 1, 0].sum() / x[:, 1, 1].sum())
    assert (speed.low, speed.high) == pytest.approx((interval.low, interval.high))
    mean = found.mean("speed", with_interval=True)
    assert (mean.value[1], mean.low[1]) == pytest.approx((speed.value, speed.low))
    assert found.joined(found).estimate("speed", at={"who": "b"}).n == 24


def test_one_place_by_another_leaves_the_same_units_out() -> None:
    found, x = _summed()
    share = ratio_estimate(found, "speed", {"who": "b"}, {"who": "a"})
    total = x.sum(axis=0)
    expected = (total[1, 0] / total[1, 1]) / (total[0, 0] / total[0, 1])
    assert (share.name, share.unit) == ("speed_ratio.b", "s per s of a")
    assert share.value == pytest.approx(expected)
    assert ratio_estimate(found, "speed", {"who": "a"}, {"who": "a"}).low is None, "always 1"
    assert ratios_along(found, "speed", "a") == (share,)
    assert ratios_along(found, "speed", "c") == ()
    assert [e.name for e in estimates_along(found, "speed")] == ["speed.a", "speed.b"]
    none = Samples.of({"": {"speed": x * 0}}, found.metrics, axes_of=found.axes_of)
    assert ratio_estimate(none, "speed", {"who": "b"}, {"who": "a"}).value is None
