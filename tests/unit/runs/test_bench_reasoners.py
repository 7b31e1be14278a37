"""The benchmark of reasoners: its order, its records, its intervals, and resumption."""

import json
from dataclasses import replace

import numpy as np
import pytest

from workbench.errors import BadOption
from workbench.runs.bench.reasoner_plan import (
    ARMS,
    CONTROL_TASK,
    PRESETS,
    TASKS,
    TRAININGS,
    training_options,
)
from workbench.runs.bench.reasoner_report import reasoner_report
from workbench.runs.bench.reasoner_table import Verdicts, paired_rows, replaced_rows
from workbench.runs.bench.reasoners import ReasonerBench, bench_reasoners, known_records


def _bench(folder, **more):
    return ReasonerBench(**{"folder": folder, "preset": "tiny", **more})


def test_every_arm_has_seed_0_on_every_task_before_any_has_seed_1(tmp_path):
    cells = list(_bench(tmp_path, seeds=2).cells())
    half = len(cells) // 2
    assert {c.seed for c in cells[:half]} == {0}
    assert {c.seed for c in cells[half:]} == {1}
    controls = {name for name, arm in ARMS.items() if arm.is_control}
    assert {c.task for c in cells if c.arm in controls} == {CONTROL_TASK}
    assert {(c.arm, c.task) for c in cells[:half]} >= {
        (arm, task) for arm in set(ARMS) - controls for task in TASKS
    }


@pytest.mark.parametrize("task", TASKS)
def test_every_arm_makes_as_many_updates(task):
    sizes = replace(PRESETS["cpu"], writing=100, updates=1200)
    writer = training_options("writer", TASKS[task], sizes)["steps"]
    for name in {arm.training for arm in ARMS.values()}:
        told = training_options(name, TASKS[task], sizes)
        mine = told.get("steps", 0) * told.get("stages", 1)
        mine += told.get("embedding", 0) + told.get("prediction", 0)
        begins = writer if TRAININGS[name].begins else 0
        assert begins + mine == 1300, name
        rows = told.get("batch") or told["prompts"] * told["responses"]
        assert rows == sizes.batch


def _record(arm, seed, right, **rows):
    def row(values):
        n = len(values)
        return {
            "right": values,
            "depth": [1] * n,
            "group": [str(i) for i in range(n)],
            "response": [str(v) for v in values],
            **{what: [1.0] * n for what in ("operations", "operations_every", "positions")},
            "seconds": [0.001] * n,
        }

    told = {"as trained": row(right), **{f"as trained, {k}": row(v) for k, v in rows.items()}}
    training = {"wall_seconds": 1.0}
    return {"task": CONTROL_TASK, "arm": arm, "seed": seed, "training": training, "rows": told}


def test_seeds_that_differ_widen_the_interval_and_problems_alone_do_not():
    generator = np.random.default_rng(1)
    same = np.repeat((generator.random((1, 200)) < 0.5).astype(float), 3, axis=0)
    groups = [str(i) for i in range(200)]
    ends = Verdicts(values=same, groups=groups).interval((0.0, 1.0))
    plain = 1.96 * (0.25 / 200) ** 0.5
    assert ends["high"] - ends["low"] == pytest.approx(2 * plain, rel=0.12)
    apart = np.stack([generator.random(200) < p for p in (0.3, 0.5, 0.7)]).astype(float)
    wide = Verdicts(values=apart, groups=groups).interval((0.0, 1.0))
    # The variance of the mean over seeds is that of the seeds divided by their number.
    error = (np.var(apart.mean(axis=1), ddof=1) / 3 + 0.25 / 600) ** 0.5
    assert wide["high"] - wide["low"] == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_problems_of_a_group_count_once():
    values = np.repeat((np.random.default_rng(2).random((1, 40)) < 0.5).astype(float), 10, axis=1)
    together = Verdicts(values=values, groups=[str(i // 10) for i in range(400)]).interval(
        (0.0, 1.0)
    )
    alone = Verdicts(values=values, groups=[str(i) for i in range(400)]).interval((0.0, 1.0))
    assert together["high"] - together["low"] > 2.5 * (alone["high"] - alone["low"])


def test_differences_are_paired_and_corrected_for_their_number():
    right = [1, 0] * 50
    worse = [0, 0] * 50
    records = [
        _record(arm, seed, values)
        for seed in (0, 1)
        for arm, values in (("chain-of-thought", right), ("answer-only", worse), ("pause", right))
    ]
    rows = {(r["arm"], r["against"]): r for r in paired_rows(records)}
    assert set(rows) == {
        ("chain-of-thought", "answer-only"),
        ("pause", "answer-only"),
        ("pause", "chain-of-thought"),
    }
    assert rows["pause", "answer-only"]["difference"] == 0.5
    assert rows["pause", "answer-only"]["p_holm"] < 0.001
    same = rows["pause", "chain-of-thought"]
    assert (same["difference"], same["p_holm"]) == (0, 1)
    assert all(r["p_holm"] >= r["p"] for r in rows.values())


def test_seeds_that_one_side_lacks_are_left_out_of_a_pair():
    records = [
        _record("chain-of-thought", 0, [1, 0, 1, 0]),
        _record("pause", 0, [1, 0, 1, 0]),
        _record("pause", 1, [0, 0, 0, 0]),
    ]
    assert [r["difference"] for r in paired_rows(records)] == [0.0]


def test_replaced_thoughts_stand_beside_their_own():
    records = [_record("coconut", 0, [1] * 20, zero=[0] * 20, noise=[1] * 20, other=[1] * 20)]
    rows = {r["thoughts"]: r for r in replaced_rows(records)}
    assert (rows["zero"]["change"], rows["zero"]["changed"]) == (-1.0, 1.0)
    assert (rows["noise"]["change"], rows["noise"]["changed"]) == (0.0, 0.0)


def test_what_there_is_not_is_refused(tmp_path):
    with pytest.raises(BadOption, match="arms magic"):
        _bench(tmp_path, arms="magic")
    with pytest.raises(BadOption, match="preset"):
        _bench(tmp_path, preset="huge")


def test_a_folder_without_records_has_empty_tables(tmp_path):
    bench = _bench(tmp_path)
    found = reasoner_report(bench, known_records(bench))
    assert found["cells_filled"] == 0
    assert found["accuracy"] == found["bars"] == []


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["coconut", "sentence-continuous", "hrpo", "answer-only"])
def test_a_stopped_run_goes_on_to_the_same_losses(tmp_path, arm):
    def stop(done, total, label):
        if "steps" in label and total > 0 and done >= total // 2 and "cell" in label:
            raise KeyboardInterrupt

    asked = {"arms": arm, "tasks": "chained-sums", "seeds": 1}
    whole = bench_reasoners(_bench(tmp_path / "whole", **asked))[0]
    stopped = _bench(tmp_path / "stopped", **asked)
    with pytest.raises(KeyboardInterrupt):
        bench_reasoners(stopped, stop)
    resumed = bench_reasoners(stopped)[0]
    assert resumed["training"]["losses"] == whole["training"]["losses"]
    right = {name: row["right"] for name, row in whole["rows"].items()}
    assert {name: row["right"] for name, row in resumed["rows"].items()} == right
    kept = json.loads(next((tmp_path / "stopped" / "cells").iterdir()).read_text())
    assert kept["identity"] == whole["identity"]
    assert known_records(stopped)[0] == kept
    assert known_records(replace(stopped, preset="cpu")) == []
