"""Killed, damaged or stopped: what comes out in the end is the same to the byte."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.unit.batch.conftest import (
    LENS,
    PROBES,
    MakePlan,
    everything,
    plan_values,
    write_rows,
)
from workbench.batch import run
from workbench.batch.plan import BatchPlan
from workbench.batch.run import Local, run_batch
from workbench.batch.session import Reporter
from workbench.batch.shards import Manifest
from workbench.batch.work import ShardCount, ShardWork
from workbench.model.model import Model
from workbench.runs.store import Store

ROOT = Path(__file__).resolve().parents[3]
# What a machine does to a process is not ours to foretell: kills fall where they fall.
PROGRAM = """
import json
import os
import sys
from pathlib import Path
from workbench.batch.plan import BatchPlan
from workbench.batch.run import run_batch
from workbench.model.tiny import tiny_model
from workbench.runs.store import Store
plan = BatchPlan.from_dict(json.loads(Path(sys.argv[1]).read_text()))
model = tiny_model("llama")
print("ready", flush=True)
while sys.stdin.readline():
    # a process for every run, without the imports of one
    if child := os.fork():
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    else:
        run_batch(plan, store=Store(sys.argv[2]), model=model, resume=True)
        os._exit(0)
"""


class Stop(BaseException):
    """Stands for whatever ends a process."""


@pytest.mark.parametrize("ahead", [False, True])
def test_stopped_after_any_shard_it_goes_on_to_the_same_bytes(
    make_plan: MakePlan, store: Store, model: Model, tmp_path: Path, ahead: bool
) -> None:
    plan, clean, local = make_plan(), Store(tmp_path / "clean"), Local(ahead=ahead)
    run_batch(plan, store=clean, model=model)
    for left in (3, 1):

        def stop(pace: object, left: int = left) -> None:
            nonlocal heard
            heard += 1
            if heard == left:
                raise Stop

        heard, reporter = 0, Reporter(pace=stop)
        with pytest.raises(Stop):
            run_batch(
                plan, store=store, model=model, resume=True, reporter=reporter, executor=local
            )
    done = run_batch(plan, store=store, model=model, resume=True, executor=local)
    assert done.n_computed == 1
    assert everything(store, plan) == everything(clean, plan)


@pytest.mark.parametrize("ahead", [False, True])
def test_the_next_shard_is_counted_before_the_last_is_written_only_if_asked(
    make_plan: MakePlan, store: Store, model: Model, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    met, put = [], run.commit
    count = ShardWork.count

    def counting(self: ShardWork, number: int, *rest: Any) -> ShardCount:
        made = count(self, number, *rest)
        if number == 1:
            second.set()
        return made

    def waiting(folder: Path, number: int, write: Any) -> Manifest:
        if number == 0:
            met.append(second.wait(20 if ahead else 1))
        return put(folder, number, write)

    second = threading.Event()
    monkeypatch.setattr(ShardWork, "count", counting)
    monkeypatch.setattr(run, "commit", waiting)
    run_batch(make_plan(), store=store, model=model, executor=Local(ahead=ahead))
    assert met == [ahead]


def test_a_changed_byte_in_any_file_is_named_and_made_anew(
    make_plan: MakePlan, store: Store, model: Model, rows: Path
) -> None:
    write_rows(rows, 12)
    plan = make_plan()
    done = run_batch(plan, store=store, model=model)
    before = everything(store, plan)
    runs = store.path(done.runs[0].run_id)
    files = [p for folder in (done.folder, runs) for p in folder.rglob("*") if p.is_file()]
    draw = random.Random(0)
    for path in files:
        data = bytearray(path.read_bytes())
        if not data:
            continue
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(7)
        path.write_bytes(data)
        again = run_batch(plan, store=store, model=model, resume=True)
        named = " ".join(again.damaged)
        assert path.name in named or runs.name in named, path
        assert everything(store, plan) == before, path
        assert store.get(done.runs[0].run_id).status == "complete"


def test_a_missing_file_is_named_and_made_anew(
    make_plan: MakePlan, store: Store, model: Model
) -> None:
    plan = make_plan()
    done = run_batch(plan, store=store, model=model)
    before = everything(store, plan)
    for name in ("shards/000002/bad_rows.jsonl", "activations.parquet", "plan.json"):
        (done.folder / name).unlink()
        again = run_batch(plan, store=store, model=model, resume=True)
        assert Path(name).name in " ".join(again.damaged)
    assert everything(store, plan) == before


def _kill_and_resume(
    plan: BatchPlan, values: Path, folder: Path, *, kills: int, draw: random.Random, span: float
) -> int:
    """Kill the program at random moments, then let it finish; return how many kills hit."""
    hits = 0
    program = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(values), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert program.stdin is not None
    assert program.stdout is not None
    with program:
        assert program.stdout.readline() == "ready\n"
        for left in range(kills, -1, -1):
            program.stdin.write("go\n")
            program.stdin.flush()
            child = int(program.stdout.readline())
            if left:
                time.sleep(draw.uniform(0, span))
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            status = int(program.stdout.readline())
            assert status in ((0, -signal.SIGKILL) if left else (0,))
            hits += status != 0
        program.stdin.close()
        assert program.wait() == 0
    return hits


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 20], ids=["once", "twenty-times"])
def test_killed_at_random_moments_it_gives_the_same_bytes(
    rows: Path, store: Store, model: Model, tmp_path: Path, kills: int
) -> None:
    write_rows(rows, 240 if kills > 1 else 40)
    probes = PROBES if kills > 1 else LENS
    values = tmp_path / "plan.json"
    values.write_text(json.dumps(plan_values(rows, shard_rows=6, probes=probes)))
    plan = BatchPlan.from_dict(json.loads(values.read_text()))
    clean = Store(tmp_path / "clean")
    run_batch(plan, store=clean, model=model)
    draw = random.Random(kills)
    span = 1.5 if kills > 1 else 0.5
    assert _kill_and_resume(plan, values, store.folder, kills=kills, draw=draw, span=span)
    assert everything(store, plan) == everything(clean, plan)
