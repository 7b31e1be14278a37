"""The benchmark of reasoners is stopped and goes on, and begins with a model that is named."""

import json
from dataclasses import replace

import pytest

from workbench.model.loading import load_model
from workbench.runs.bench.reasoner_networks import copy_networks
from workbench.runs.bench.reasoner_plan import CONTROL_TASK, PRESETS, TASKS
from workbench.runs.bench.reasoners import ReasonerBench, bench_reasoners, known_records
from workbench.training.checkpoint import read_manifest


def _bench(folder, **more):
    return ReasonerBench(**{"folder": folder, "preset": "tiny", **more})


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
    folders = copy_networks(stopped, tmp_path / "ships")
    assert folders[0].name == CONTROL_TASK
    base = load_model(folders[0], device="cpu").spec.weights_hash
    assert all(read_manifest(place).base_hash == base for place in folders[1:])


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["chain-of-thought", "sentence-discretized", "pause", "grpo"])
def test_arms_begin_with_a_model_that_is_named(tmp_path, monkeypatch, arm):
    """What the preset for an accelerator does, with a small model."""
    task = TASKS["blocksworld"].address
    sizes = replace(PRESETS["tiny"], model="blocksworld-sentences", writing=2, updates=4)
    monkeypatch.setitem(PRESETS, "tiny", sizes)
    monkeypatch.setitem(TASKS, CONTROL_TASK, replace(TASKS[CONTROL_TASK], address=task, further={}))
    bench = _bench(tmp_path, arms=arm, tasks=CONTROL_TASK, seeds=1)
    record = bench_reasoners(bench)[0]
    assert len(record["rows"]["as trained"]["right"]) == sizes.judged
    writer = next((tmp_path / CONTROL_TASK).glob("writer-*"))
    assert json.loads((writer / "manifest.json").read_text())["base_model"] == sizes.model
