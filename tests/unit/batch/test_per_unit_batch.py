"""Probes of numbers per text share one reading pass in a batch and give what each gives alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.batch.conftest import MakePlan
from workbench.batch.run import run_batch
from workbench.model.model import Model
from workbench.runs.execute import execute
from workbench.runs.store import Store

PROBES = [
    {"name": "attention-pattern", "options": {"longest": 12}},
    {"name": "token-trace", "options": {"longest": 14}},
    {"name": "logit-lens", "options": {"every": 2}},
    {"name": "ffn-saturation", "options": {"cold": 0, "first": 3, "alone": False}},
    {"name": "isotropy", "options": {"reservoir": 20, "memory_mb": 1.0, "layers": [0]}},
]


def test_five_probes_over_shards_equal_five_runs(
    make_plan: MakePlan,
    store: Store,
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = make_plan(probes=PROBES, shard_rows=16, keep={})
    read: list[int] = []
    forward = model.backend.forward

    def counted(inputs: Any, **rest: Any) -> Any:
        is_ours = not model.is_checked and any("attn_pattern" in str(s) for s in rest["read"])
        read.append(len(inputs.mask) if is_ours else 0)
        return forward(inputs, **rest)

    monkeypatch.setattr(model.backend, "forward", counted)
    done = run_batch(plan, store=store, model=model)
    assert [run.status for run in done.runs] == ["complete"] * 5
    assert sum(read) == 40, "every row is read once, for all probes"
    alone = Store(tmp_path / "alone")
    for run, spec in zip(done.runs, plan.specs, strict=True):
        single = execute(spec, store=alone, model=model)
        assert run.result is not None
        assert single.result is not None
        for name, table in single.result.tables.items():
            numbers = list(table.frame.select_dtypes("number").columns)
            ours = run.result.tables[name].frame
            assert len(ours) == len(table), (spec.name, name)
            for column in numbers:
                np.testing.assert_allclose(
                    ours[column].to_numpy(float),
                    table.frame[column].to_numpy(float),
                    rtol=2e-4,
                    atol=2e-5,
                    err_msg=f"{spec.name} {name} {column}",
                )
