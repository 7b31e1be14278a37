"""The benchmark of reasoners: its order, its records, its intervals, and resumption."""

import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest

from workbench.errors import BadOption, DataError
from workbench.methods.contracts import Context
from workbench.runs.bench.reasoner_plan import (
    ANEW,
    ARMS,
    CONTROL_TASK,
    PRESETS,
    SAMPLED,
    TASKS,
    TRAININGS,
    training_options,
)
from workbench.runs.bench.reasoner_records import (
    joined_records,
    read_records,
    shipped_records,
    write_records,
)
from workbench.runs.bench.reasoner_report import reasoner_report
from workbench.runs.bench.reasoner_table import Verdicts, paired_rows, replaced_rows
from workbench.runs.bench.reasoners import (
    Cell,
    ReasonerBench,
    bench_reasoners,
    known_records,
    losses,
)


def _bench(folder, **more):
    return ReasonerBench(**{"folder": folder, "preset": "tiny", **more})


def test_a_task_is_whole_before_the_next_begins_and_controls_come_last(tmp_path):
    cells = list(_bench(tmp_path, seeds=2).cells())
    main = [c for c in cells if not ARMS[c.arm].is_control]
    assert cells[: len(main)] == main
    assert [(c.task, c.seed) for c in main] == sorted(
        ((c.task, c.seed) for c in main), key=lambda pair: (list(TASKS).index(pair[0]), pair[1])
    )
    assert len(set(cells)) == len(cells) == 2 * (9 * len(TASKS) + 6)
    assert {c.task for c in cells if ARMS[c.arm].is_control} == {CONTROL_TASK}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_training_of_a_preset_builds(preset, tmp_path):
    bench = _bench(tmp_path, preset=preset, seeds=1)
    for cell in bench.cells():
        work = bench.at(cell)
        for name in {ARMS[cell.arm].training, "writer"}:
            assert work.recipe(name).half
    assert bench.plan_hash != replace(bench, preset="tiny" if preset != "tiny" else "cpu").plan_hash


@pytest.mark.parametrize("task", TASKS)
def test_every_arm_makes_as_many_updates(task):
    sizes = replace(PRESETS["cpu"], writing=100, updates=1200)
    writer = training_options("writer", TASKS[task], sizes)["steps"]
    for name in {arm.training for arm in ARMS.values()}:
        told = training_options(name, TASKS[task], sizes)
        rates = {told[k] for k in ("rate", "embedding_rate", "prediction_rate") if k in told}
        own = sizes.own_rate if TRAININGS[name].begins else TASKS[task].rate or sizes.rate
        assert rates == (set() if TRAININGS[name].recipe == "hybrid" else {own}), name
        mine = told.get("steps", 0) * told.get("stages", 1)
        mine *= SAMPLED if TRAININGS[name].recipe == "hybrid" else 1
        mine += told.get("embedding", 0) + told.get("prediction", 0)
        begins = writer if TRAININGS[name].begins else 0
        assert begins + mine == 100 * TASKS[task].writing + 1200, name
        rows = told.get("batch") or told["prompts"] * told["responses"]
        assert rows == sizes.batch


def test_only_the_graph_search_has_a_writer_of_its_own():
    sizes = PRESETS["cpu"]
    told = {name: training_options("writer", task, sizes) for name, task in TASKS.items()}
    assert told["graph-search"].pop("init_std") == 0.08
    same = {"held_out": 32, "scratch": True, "batch": 32, "rate": 5e-3, "layers": 2, "width": 64}
    assert told == {
        "chained-sums": {**same, "problems": 4000, "steps": 1000},
        "graph-search": {**same, "problems": 20_000, "steps": 3000, "rate": 3e-3},
        "blocksworld": {**same, "problems": 4000, "steps": 2000},
    }
    # A model that is named has weights, and the options of arms on every task are alike.
    gpu = training_options("writer", TASKS["graph-search"], PRESETS["gpu"])
    assert "init_std" not in gpu
    assert gpu["rate"] == PRESETS["gpu"].rate
    assert "init_std" not in training_options("coconut", TASKS["graph-search"], sizes)


@pytest.mark.slow
def test_a_record_that_ships_begins_with_the_loss_that_its_plan_gives(tmp_path):
    bench = ReasonerBench(folder=tmp_path, arms=ANEW, tasks=CONTROL_TASK, seeds=1)
    (cell,), (record,) = bench.cells(), shipped_records(bench)
    recipe = replace(bench.at(cell).recipe(ANEW), steps=1, tokens=1)
    context = Context(seed=cell.seed, task=TASKS[CONTROL_TASK].address, scratch=tmp_path)
    ((first,),) = losses(recipe.train(recipe.base_model(context), (), context)).values()
    assert first == pytest.approx(record["training"]["losses"]["0"][0], rel=1e-5)


_TRAINING = {"wall_seconds": 1.0, "processor_seconds": 1.0, "losses": {"steps": [2.0, 1.0]}}


def _record(arm, seed, right, **rows):
    def row(values):
        n = len(values)
        return {
            "right": values,
            "depth": [1] * n,
            "group": [str(i) for i in range(n)],
            "changed": [int(a != b) for a, b in zip(values, right, strict=True)],
            **{what: [1.0] * n for what in ("operations", "operations_every", "positions")},
            "seconds": [0.001] * n,
        }

    told = {"as trained": row(right), **{f"as trained, {k}": row(v) for k, v in rows.items()}}
    same = {"task": CONTROL_TASK, "arm": arm, "seed": seed, "training": _TRAINING}
    return {**same, "rows": told}


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


def test_records_in_one_file_make_the_same_tables(tmp_path):
    bench = _bench(tmp_path, tasks="graph-search", arms="chain-of-thought,coconut")
    records = [
        {
            **_record(arm, 0, [1, 0, 1, 1], zero=[0, 0, 1, 0]),
            **{"task": "graph-search", "training": _TRAINING},
            "identity": bench.at(Cell(0, arm, "graph-search")).identity,
        }
        for arm in ("chain-of-thought", "coconut")
    ]
    for record in records:
        del record["rows"]["as trained"]["changed"]
    write_records(bench, records, tmp_path / "records.json")
    again = read_records(tmp_path / "records.json", bench)
    told, wanted = reasoner_report(bench, again), reasoner_report(bench, records)
    assert told == wanted
    assert told["replaced"][0]["changed"] == 0.5
    with pytest.raises(DataError, match="holds 2 cells of preset tiny"):
        read_records(tmp_path / "records.json", replace(bench, preset="cpu"))


def _two_arms(tmp_path):
    """Return a benchmark of two cells and a record of each, the first in the folder."""
    bench = _bench(tmp_path, arms="chain-of-thought,pause", tasks=CONTROL_TASK, seeds=1)
    records = []
    for cell in bench.cells():
        record = {**_record(cell.arm, 0, [1, 0, 1]), "identity": bench.at(cell).identity}
        del record["rows"]["as trained"]["changed"]
        records.append(record)
    (tmp_path / "cells").mkdir()
    kept = tmp_path / "cells" / f"{next(bench.cells()).name}.json"
    kept.write_text(json.dumps(records[0]))
    return bench, records


def test_a_cell_that_was_recorded_elsewhere_is_not_run_again(tmp_path):
    bench, records = _two_arms(tmp_path)
    write_records(bench, records[1:], tmp_path / "first.json")
    joined = joined_records(tmp_path / "first.json", bench)
    assert [r["arm"] for r in joined] == ["pause"]
    found = bench_reasoners(bench, known=joined)
    assert not (tmp_path / CONTROL_TASK).exists(), "a network was trained"
    assert [r["arm"] for r in found] == ["chain-of-thought", "pause"]
    assert known_records(bench, joined) == found
    # What was joined is written on as it was, beside what the folder holds.
    write_records(bench, found, tmp_path / "both.json")
    first, both = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("first", "both"))
    assert both["cells"][1:] == first["cells"]
    assert both["problems"] == first["problems"]
    assert reasoner_report(bench, found) == reasoner_report(bench, records)


def test_records_of_another_plan_are_refused_and_of_other_arms_are_not(tmp_path):
    bench, records = _two_arms(tmp_path)
    write_records(bench, records[1:], tmp_path / "pause.json")
    other = replace(bench, arms="coconut")
    assert known_records(other, joined_records(tmp_path / "pause.json", other)) == []
    with pytest.raises(DataError, match="holds 1 cells of preset tiny"):
        joined_records(tmp_path / "pause.json", replace(bench, preset="cpu"))
    (tmp_path / "pause.json").write_text("[1]")
    with pytest.raises(DataError, match="no records"):
        joined_records(tmp_path / "pause.json", bench)
    with pytest.raises(DataError, match="nothing"):
        joined_records(tmp_path / "nothing.json", bench)


def test_without_a_folder_nothing_runs():
    with pytest.raises(BadOption, match="folder"):
        known_records(ReasonerBench(preset="tiny"))


def test_the_records_that_ship_belong_to_this_plan():
    bench = ReasonerBench()
    told = json.loads((files("workbench") / "data" / "reasoners.json").read_text())
    assert len(shipped_records(bench)) == len(told["cells"]) >= 9


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
