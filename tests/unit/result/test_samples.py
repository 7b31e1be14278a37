"""Averages over units: closed forms, groups, undefined numbers, and blocks of a million units."""

from dataclasses import replace

import numpy as np
import pytest

from workbench.result import samples
from workbench.result.estimate import Estimate
from workbench.result.metric import Control, Metric
from workbench.result.samples import Samples

METRICS = {
    "kl": Metric(unit="nats", help="Distance.", headline=(0, -1), headline_note="but the last"),
    "rank": Metric(unit="rank", help="Rank.", axes=(), geometric=True),
    "right": Metric(unit="proportion", help="Share.", axes=(), bounds=(0.0, 1.0)),
}


def made(n: int, seed: int = 0) -> Samples:
    draw = np.random.default_rng(seed)
    kl = draw.normal([1.0, 2.0, 9.0], size=(n, 3))
    values = {
        "": {
            "kl": kl,
            "rank": np.log(draw.integers(1, 9, n)),
            "right": draw.integers(0, 2, n).astype(float),
        },
        "random": {"kl": kl + 1},
    }
    keys = draw.integers(0, 1 << 60, n)
    return Samples.of(values, METRICS, keys=keys, controls_of={"random": Control("noise")})


def test_headlines_leave_out_what_they_say() -> None:
    found = made(200)
    kl = found.sums["", "kl", ("layer",)]
    assert found.estimate("kl").value == pytest.approx(kl[:, :2].mean())
    assert found.estimate("kl", "random").control == pytest.approx(kl[:, :2].mean() + 1)
    assert found.estimate("kl").note == "but the last"
    assert found.estimate("kl").control is None
    assert found.mean("kl").value == pytest.approx(kl.mean(axis=0))


def test_geometric_means_and_exact_shares() -> None:
    found = made(50)
    logs = found.sums["", "rank", ()]
    rank = found.estimate("rank")
    assert rank.value == pytest.approx(np.exp(logs.mean()))
    assert rank.low < rank.value < rank.high
    assert found.estimate("right").method.startswith("Clopper")


def test_undefined_numbers_count_for_nothing() -> None:
    values = {"": {"kl": np.array([[1.0, np.nan, 0], [3.0, np.nan, 0], [np.nan] * 3])}}
    found = Samples.of(values, {"kl": METRICS["kl"]})
    assert found.n == 2
    assert found.n_given == 3
    mean = found.mean("kl")
    assert mean.value[0] == 2
    assert np.isnan(mean.value[1])
    assert mean.n.tolist() == [2, 0, 2]


def test_units_of_a_group_are_drawn_whole() -> None:
    values = {"": {"right": np.repeat([0.0, 1.0, 1.0, 0.0], 25)}}
    about = {"right": METRICS["right"]}
    alone = Samples.of(values, about).estimate("right")
    grouped = Samples.of(values, about, groups=np.repeat(np.arange(4), 25)).estimate("right")
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_many_units_become_blocks_that_say_the_same() -> None:
    n = samples.MOST_UNITS + 900
    whole = made(n)
    blocked = whole.blocked()
    assert len(blocked.keys) <= samples.MOST_UNITS
    for name in ("kl", "right"):
        one, other = whole.estimate(name), blocked.estimate(name)
        assert other.value == pytest.approx(one.value)
        assert other.n == one.n == n
        assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.1)


def test_it_does_not_matter_how_units_were_joined() -> None:
    parts = [made(1500, seed) for seed in range(4)]
    together = parts[0].joined(*parts[1:])
    stepwise = parts[3].joined(parts[1]).joined(parts[0].joined(parts[2]).blocked())
    assert together.is_blocked
    assert len(together.keys) == len(stepwise.keys)
    one, other = together.estimate("kl"), stepwise.estimate("kl")
    assert one.value == pytest.approx(other.value, rel=1e-12)
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-9)
    assert one.n == other.n == 6000


def beside(own: np.ndarray, control: np.ndarray, **about: object) -> Samples:
    metric = Metric(unit="", help="A number.", axes=(), **about)  # type: ignore[arg-type]
    values = {"": {"x": own}, "null": {"x": control}}
    return Samples.of(values, {"x": metric})


def test_units_are_compared_with_their_own_control() -> None:
    draw = np.random.default_rng(0)
    control = draw.normal(0, 5, 40)
    own = control + draw.normal(0.5, 0.2, 40)
    found = beside(own, control).estimate("x", "null")
    assert found.low < found.control < found.high
    assert found.gap_low < 0.5 < found.gap_high
    assert found.beside_control == "more than"
    blocks = replace(beside(own, control), is_blocked=True).estimate("x", "null")
    assert blocks.gap_low == pytest.approx(found.gap_low, abs=0.02)
    assert found.against(0.0, "nought").gap_low is None
    fewer = np.where(np.arange(40) < 30, control, np.nan)
    found = beside(own, fewer).estimate("x", "null")
    gaps = (own - control)[:30]
    assert found.gap_low < gaps.mean() < found.gap_high
    alone = beside(own[:30], control[:30]).estimate("x", "null")
    assert (found.gap_low, found.gap_high) == pytest.approx((alone.gap_low, alone.gap_high))
    assert found.n == 40


@pytest.mark.parametrize("n", [5, 10, 40])
def test_a_control_as_noisy_as_the_value_is_seldom_found_different(n: int) -> None:
    draw = np.random.default_rng(n)
    different = 0
    for _ in range(200):
        own, control = draw.exponential(size=(2, n))
        found = beside(own, control).estimate("x", "null")
        different += found.beside_control != "not measurably other than"
    assert different <= 20


def test_shares_keep_the_difference_within_what_is_possible() -> None:
    found = beside(np.ones(9), np.zeros(9), bounds=(0.0, 1.0)).estimate("x", "null")
    assert 0 < found.gap_low < found.gap_high == 1.0
    mixed = np.array([1.0, 0, 1, 0, 1, 0, 1, 0])
    found = beside(mixed, 1 - mixed, bounds=(0.0, 1.0)).estimate("x", "null")
    assert -1 <= found.gap_low < 0 < found.gap_high <= 1


def test_numbers_that_are_written_alike_are_not_called_different() -> None:
    found = Estimate(name="x", value=0.25, unit="", n=1, control=0.25 + 1e-9)
    assert found.beside_control == "not measurably other than"
    assert replace(found, control=0.2).beside_control == "more than"
    sure = replace(found, low=0.25, high=0.25, control=0.25 - 1e-9)
    assert sure.beside_control == "more than"
