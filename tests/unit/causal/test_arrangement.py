"""One set of rows gives one graph, whatever its units, and the order of rows and columns."""

from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from causal.searches import algorithms, stability
from causal.searches.abilities import ABILITIES
from causal.searches.algorithms import run
from causal.searches.arrangement import column_order, constant, discrete, standardised
from causal.searches.stability import Search, fit, split
from tests.unit.causal.planted_tables import TRUE_PAIRS, chain_and_collider, in_this_process
from workbench.worker import TookTooLong

NAMES = tuple(f"v{i}" for i in range(5))
FAST = [name for name in ABILITIES if name != "gin"]


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    in_this_process(monkeypatch, stability)


def fitted(algorithm, data, names=NAMES, resamples=0, labels=None, seconds=1e9):
    labels = labels or [str(i % 2) for i in range(len(data))]
    (rows,) = split(data, labels, "pooled", names)
    search = Search(algorithm=algorithm, resamples=resamples, orders=2, seconds=seconds)
    return fit(search, rows, generator=np.random.default_rng(0))


def graph(found):
    return {link[:3] for link in found.links}


@pytest.mark.parametrize("algorithm", FAST)
def test_units_leave_the_graph(algorithm):
    data = chain_and_collider("laplace", n=300)
    factors = np.array([0.01, 100.0, 1.0, 1e-6, 1e4])
    plain, scaled = fitted(algorithm, data), fitted(algorithm, data * factors + 3 * factors)
    assert graph(scaled) == graph(plain)
    sizes = dict(zip(NAMES, factors, strict=True))
    weights = {link[:2]: link.weight for link in plain.links}
    for cause, effect, _, weight in scaled.links:
        if weight is not None:
            expected = weights[cause, effect] * sizes[effect] / sizes[cause]
            assert weight == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("algorithm", FAST)
def test_the_order_of_rows_and_columns_leaves_everything(algorithm):
    data = chain_and_collider("laplace", n=200)
    generator = np.random.default_rng(0)
    resamples = 0 if algorithm in ("rlcd", "direct-lingam") else 2
    plain = fitted(algorithm, data, resamples=resamples)
    for _ in range(2):
        columns, rows = generator.permutation(5), generator.permutation(200)
        names = tuple(NAMES[i] for i in columns)
        labels = [str(i % 2) for i in rows]
        moved = fitted(algorithm, data[rows][:, columns], names, resamples, labels)
        assert graph(moved) == graph(plain)
        assert moved.stability == plain.stability


def test_a_fraction_beside_percents():
    """ICA-LiNGAM finds the same right edges when one column is in other units."""
    data = chain_and_collider("laplace", n=1000, seed=2)
    for factor in (1.0, 0.01, 100.0):
        mixed = data * np.array([1.0, factor, 1.0, 1.0, 1.0])
        found = run(
            {"algorithm": "ica-lingam", "data": mixed, "names": NAMES, "alpha": 0.01, "seed": 0}
        )["links"]
        assert {link[:2] for link in found} == TRUE_PAIRS


def test_the_best_of_several_orders_is_kept():
    x, y, e, f = np.random.default_rng(0).laplace(size=(4, 1500))
    z = x + y + 0.5 * e
    data = np.column_stack([x, y, z, 0.8 * z + 0.5 * f])
    request = {"algorithm": "boss", "data": data, "names": NAMES[:4], "alpha": 0.01, "seed": 0}
    one, five = (run({**request, "orders": n}) for n in (1, 5))
    assert five["facts"]["differ"] > 0
    assert five["facts"]["score"] > one["facts"]["score"]
    assert {("v0", "v2", "directed"), ("v1", "v2", "directed")} <= {x[:3] for x in five["links"]}


def test_resamples_move_the_columns(monkeypatch):
    asked = []
    monkeypatch.setattr(
        stability.WORKER,
        "call",
        lambda request, *, seconds: (asked.append(request["shuffle"]), run(request))[1],
    )
    fitted("pc", chain_and_collider("normal", n=100), resamples=3)
    assert asked == [False, True, True, True]


def _clock(monkeypatch, seconds_each):
    """Let every look at the clock find it so much later."""
    now = count(0.0, seconds_each)
    monkeypatch.setattr(algorithms, "time", SimpleNamespace(monotonic=lambda: next(now)))


@pytest.mark.parametrize("algorithm", ["boss", "pc"])
def test_a_slow_machine_gives_the_same_graph(monkeypatch, algorithm):
    data = chain_and_collider("laplace", n=200)
    search = {"algorithm": algorithm, "data": data, "names": NAMES, "alpha": 0.01, "seed": 0}
    found = []
    for each in (0.0, 10.0):
        _clock(monkeypatch, each)
        found.append(run({**search, "orders": 4, "seconds": 60.0}))
    assert found[0] == found[1]
    assert found[0]["facts"]["orders"] == 4


def test_a_fit_that_the_clock_cuts_short_says_so(monkeypatch):
    _clock(monkeypatch, 40.0)
    found = fitted("boss", chain_and_collider("laplace", n=100), resamples=2, seconds=60.0)
    assert (found.facts["orders"], found.facts["not_tried"]) == (1, 1)
    assert found.resamples == 2
    assert [note.split(":")[0].split(";")[0] for note in found.notes] == [
        "the time limit of 60 s left 1 of 2 orders of the columns untried",
        "the time limit of 60 s left orders of the columns untried in 2 resamples",
    ]


def test_a_resample_without_an_answer_is_the_last_and_the_rest_is_counted(monkeypatch):
    calls = count()

    def call(request, *, seconds):
        if next(calls) == 2:
            raise TookTooLong(f"no answer within {seconds:g} s")
        return run(request)

    monkeypatch.setattr(stability.WORKER, "call", call)
    found = fitted("pc", chain_and_collider("normal", n=100), resamples=5, seconds=7.0)
    assert (found.resamples, found.lost) == (1, 1)
    assert found.notes == ("one resample ran into the time limit of 7 s; 3 more were not tried",)


def test_columns_are_ordered_by_what_they_hold():
    data = np.random.default_rng(0).exponential(size=(50, 6))
    order = column_order(data)
    columns = np.random.default_rng(1).permutation(6)
    np.testing.assert_array_equal(columns[column_order(data[:, columns])], order)
    np.testing.assert_array_equal(column_order(data[::-1] * 7.3), order)
    twins = np.random.default_rng(0).integers(0, 2, size=(40, 4)).astype(float)
    np.testing.assert_array_equal(
        twins[:, ::-1][:, column_order(twins[:, ::-1])], twins[:, column_order(twins)]
    )


def test_kinds_of_columns():
    n = np.arange(100)
    data = np.column_stack([n % 3, n / 7, n % 50, np.full(100, 2.0), (n % 2) + 0.5]).astype(float)
    assert discrete(data).tolist() == [True, False, False, True, False]
    assert constant(data * 1e-300).tolist() == [False, False, False, True, False]
    for size in (1e-250, 1.0, 1e250):
        z = standardised(data[:, :3] * size)
        np.testing.assert_allclose(z.std(axis=0), 1.0)
