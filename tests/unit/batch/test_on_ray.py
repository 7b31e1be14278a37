"""The same plan on Ray workers: one of them killed, and the tables are those of one process."""

import importlib.util
import os
import signal
from pathlib import Path

import pytest

from tests.unit.batch.conftest import PROBES, MakePlan, everything, write_rows
from workbench.batch.on_ray import OnRay, ShardWorker
from workbench.batch.run import run_batch
from workbench.batch.session import Reporter
from workbench.batch.shards import shard_path
from workbench.errors import BadOption, DataError, EnvironmentProblem
from workbench.model.model import Model
from workbench.runs.store import Store

HAS_RAY = importlib.util.find_spec("ray") is not None


def test_a_batch_needs_a_worker() -> None:
    with pytest.raises(BadOption, match="workers is 0"):
        OnRay(workers=0)


@pytest.mark.skipif(HAS_RAY, reason="Ray is installed")
def test_without_ray_it_says_how_to_get_it(make_plan: MakePlan, store: Store, model: Model) -> None:
    with pytest.raises(EnvironmentProblem, match="not installed") as error:
        run_batch(make_plan(), store=store, model=model, executor=OnRay())
    assert "[ray]" in error.value.hint


def test_a_worker_computes_the_shards_of_one_process_in_any_order(
    make_plan: MakePlan, store: Store, model: Model, tmp_path: Path
) -> None:
    plan = make_plan(probes=PROBES).pinned()
    done = run_batch(plan, store=store, model=model)
    worker = ShardWorker(plan, str(tmp_path / "elsewhere"))
    for number in (1, 3, 0, 3):
        assert worker.commit(number) == done.manifests[number]
        ours, theirs = shard_path(tmp_path / "elsewhere", number), shard_path(done.folder, number)
        for path in theirs.iterdir():
            assert (ours / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_a_worker_meets_comes_back_as_data(make_plan: MakePlan, tmp_path: Path) -> None:
    from workbench.batch import on_ray

    worker = ShardWorker(make_plan().pinned(), str(tmp_path))
    (told,) = worker({"shard": [99]})["manifest"]
    with pytest.raises(DataError, match="no shard 99"):
        on_ray._manifest(told)


def _workers() -> list[int]:
    """Return the processes of Ray's workers that descend from this one."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(stat[1])

    def is_ours(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return [pid for pid, name in names.items() if b"ShardWorker" in name and is_ours(pid)]


@pytest.mark.slow
@pytest.mark.skipif(not HAS_RAY, reason="needs the extra [ray]")
@pytest.mark.filterwarnings("ignore")
def test_two_workers_one_of_them_killed_give_identical_tables(
    make_plan: MakePlan, store: Store, rows: Path, tmp_path: Path, model: Model
) -> None:
    write_rows(rows, 160)
    plan, clean = make_plan(probes=PROBES), Store(tmp_path / "clean")
    run_batch(plan, store=clean, model=model)
    killed: list[int] = []

    def kill(pace: object) -> None:
        if not killed:
            killed.extend(_workers()[:1])
            os.kill(killed[0], signal.SIGKILL)

    done = run_batch(
        plan, store=store, model=model, executor=OnRay(workers=2), reporter=Reporter(pace=kill)
    )
    assert len(killed) == 1
    assert done.n_computed == 20
    assert everything(store, plan) == everything(clean, plan)
