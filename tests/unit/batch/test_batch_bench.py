"""The bench measures what it says: every way over the same rows, claims with their limits."""

import pytest

from tests.unit.batch.conftest import MakePlan
from workbench.batch import bench as batch_bench
from workbench.batch.bench import BatchBench, bench_batch
from workbench.errors import TooLittleData
from workbench.model.model import Model


def test_every_way_runs_over_the_same_rows(
    make_plan: MakePlan, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_bench, "peak_of_batch", lambda plan, n: 100.0 + n / 10)
    found = bench_batch(
        BatchBench(plan=make_plan(), rows=12, blocks=3, memory_rows=(100, 400)), model=model
    )
    assert found["rows"] == 12
    assert all(found[f"{way}_seconds"] >= 0 for way in ("batch", "sorted_loop", "fixed_loop"))
    bars = {bar["claim"]: bar for bar in found["bars"]}
    memory = bars["peak memory, 400 over 100 rows"]
    assert memory["value"] == pytest.approx(140 / 110)
    assert not memory["passed"]
    assert len(bars) == 3


def test_too_few_rows_are_refused(make_plan: MakePlan, model: Model) -> None:
    with pytest.raises(TooLittleData, match="expected 50"):
        bench_batch(BatchBench(plan=make_plan(), rows=60, blocks=50), model=model)
