"""A batch watched from outside while it runs."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.runs import command
from tests.unit.batch.conftest import MakePlan
from workbench.batch.monitor import BatchMonitor, BatchStatus
from workbench.batch.run import run_batch
from workbench.batch.session import Reporter
from workbench.batch.shards import shard_path
from workbench.errors import RunNotFound
from workbench.model.model import Model
from workbench.runs.store import Store


def test_every_shard_is_seen_when_it_is_in_its_place(
    make_plan: MakePlan, store: Store, model: Model
) -> None:
    seen: list[BatchStatus] = []

    def look(pace: object) -> None:
        seen.append(BatchMonitor.of(store).look(0.0))

    done = run_batch(make_plan(), store=store, model=model, reporter=Reporter(pace=look))
    assert [(s.shards, s.rows, s.is_done) for s in seen] == [(n, 8 * n, False) for n in range(1, 6)]
    last = BatchMonitor.of(store, "nightly").look(0.0)
    assert last.is_done
    assert (last.shards, last.n_shards, last.n_rows) == (5, 5, 40)
    assert last.tokens == sum(m.n_tokens for m in done.manifests)


def test_speed_and_time_left_are_those_of_the_last_shards(
    make_plan: MakePlan, store: Store, model: Model
) -> None:
    done = run_batch(make_plan(), store=store, model=model)
    for m in done.manifests:
        os.utime(shard_path(done.folder, m.shard) / "manifest.json", (0, 1000 + 2 * m.shard))
    (done.folder / "done.json").unlink()
    (shard_path(done.folder, 4) / "manifest.json").write_text("{")
    sight = BatchMonitor.of(store, "nightly").look(1010.0)
    tokens = sum(m.n_tokens for m in done.manifests[1:4])
    assert sight.tokens_per_second == pytest.approx(tokens / 6)
    assert sight.seconds_left == pytest.approx(8 / (24 / 6))
    assert sight.seconds_quiet == pytest.approx(4.0)
    assert str(sight) == (
        f"nightly: shard 4 of 5, 32 of 40 rows, {tokens / 6:.0f} tokens/s, 0:00:02 left, "
        "last shard 0:00:04 ago"
    )


def test_following_ends_when_the_batch_is_done(
    make_plan: MakePlan, store: Store, model: Model
) -> None:
    done = run_batch(make_plan(), store=store, model=model)
    seal = (done.folder / "done.json").read_bytes()
    (done.folder / "done.json").unlink()
    looks = 0

    def wait() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            (done.folder / "done.json").write_bytes(seal)

    seen = list(BatchMonitor.of(store, "nightly").follow(lambda: 0.0, wait))
    assert [s.is_done for s in seen] == [False, True]


def test_the_command_says_what_is_there(
    make_plan: MakePlan, store: Store, model: Model, tmp_path: Path
) -> None:
    with pytest.raises(RunNotFound, match="no batch in"):
        BatchMonitor.of(store)
    with pytest.raises(RunNotFound, match="no batch other"):
        BatchMonitor.of(store, "other")
    run_batch(make_plan(), store=store, model=model)
    where = ["--store", str(store.folder)]
    told = CliRunner().invoke(command, ["watch", "nightly", "--json", *where])
    assert json.loads(told.stdout)["is_done"] is True
    told = CliRunner().invoke(command, ["watch", "--once", *where])
    assert told.stdout.startswith("nightly: shard 5 of 5, 40 of 40 rows")
    assert told.stdout.rstrip().endswith("done")
