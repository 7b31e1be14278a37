"""The bench measures what it says: every way over the same rows, claims with their limits."""

import pytest

from tests.unit.batch.conftest import MakePlan
from workbench.batch import bench as batch_bench
from workbench.batch.bench import BatchBench, bench_batch
from workbench.batch.growth import bench_growth, slope
from workbench.batch.plan import BatchPlan
from workbench.errors import TooLittleData
from workbench.model.model import Model


def test_every_way_runs_over_the_same_rows(
    make_plan: MakePlan, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_bench, "peak_of_batch", lambda plan, n: 0.1 + n / 1e3)
    found = bench_batch(
        BatchBench(plan=make_plan(), rows=12, blocks=3, memory_rows=(10, 40)), model=model
    )
    assert found["rows"] == 12
    ways = ("batch", "sorted_loop", "fixed_loop")
    assert all(found[f"{way}_{clock}_seconds"] > 0 for way in ways for clock in ("cpu", "wall"))
    assert (
        found["tokens"] <= found["sorted_loop_padded_tokens"] <= found["fixed_loop_padded_tokens"]
    )
    bars = {bar["claim"]: bar for bar in found["bars"]}
    memory = bars["peak memory, 40 over 10 rows"]
    assert memory["value"] == pytest.approx(140 / 110)
    assert not memory["passed"]
    assert len(bars) == 3


def test_a_comparison_that_could_not_fail_claims_nothing(
    make_plan: MakePlan, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_bench, "peak_of_batch", lambda plan, n: 500.0)
    found = bench_batch(BatchBench(plan=make_plan(), rows=4, memory_rows=(10, 40)), model=model)
    assert 0 < found["growth_mb_if_all_were_kept"] < 50
    assert not found["memory_can_fail"]
    assert not any(bar["claim"].startswith("peak") for bar in found["bars"])


def test_memory_that_is_not_measured_is_not_claimed(make_plan: MakePlan, model: Model) -> None:
    found = bench_batch(
        BatchBench(plan=make_plan(), rows=4, blocks=1, memory_rows=(0, 0)), model=model
    )
    assert [bar["claim"] for bar in found["bars"]] == [
        "time over the sorted loop",
        "time over the fixed loop",
    ]
    assert not any(name.startswith("peak") for name in found)


def test_too_few_rows_are_refused(make_plan: MakePlan, model: Model) -> None:
    with pytest.raises(TooLittleData, match="expected 50"):
        bench_batch(BatchBench(plan=make_plan(), rows=60, blocks=50), model=model)


def test_a_power_law_has_its_exponent_as_slope() -> None:
    found = [{"rows": n, "seconds": 3 * n**1.5, "peak": 7.0} for n in (500, 2000, 8000)]
    assert slope(found, "rows", "seconds") == pytest.approx(1.5)
    assert slope(found, "rows", "peak") == pytest.approx(0.0)


@pytest.mark.slow
def test_growth_is_measured_in_processes_of_their_own() -> None:
    plan = BatchPlan.from_toml(LINEAR)
    found = bench_growth(plan, rows=(40, 80), layers=(2, 3))
    assert [(one["rows"], one["layers"]) for one in found["growth"]] == [(40, 3), (80, 3), (40, 2)]
    assert all(one["cpu_seconds"] > 0 and one["peak_mb"] > 100 for one in found["growth"])
    assert found["bars"][0]["claim"] == "slope of seconds over rows"
    with pytest.raises(TooLittleData, match="at least two"):
        bench_growth(plan, rows=(40,), layers=(2, 3))


LINEAR = """
name = "growth"
resamples = 10
[data]
path = "shipped:prompts.jsonl"
[[probes]]
name = "mean-difference"
"""
