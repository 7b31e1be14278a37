"""The index can be thrown away, damaged or outrun; the run folders alone are the truth."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.errors import StoreError, UnknownName
from workbench.result.result import Result
from workbench.runs.run import Run
from workbench.runs.store import Store


@pytest.fixture
def store(tmp_path: Path, result: Result, make_run: Callable[..., Run]) -> Store:
    store = Store(tmp_path / "store")
    for seed in range(3):
        store.put(make_run(result, seed=seed))
    store.put(make_run(None, name="other"))
    return store


def test_newest_first_and_filters(store: Store) -> None:
    assert [t[:10] for t in store.find(name="sample")["created"]] == [
        "2026-01-03",
        "2026-01-02",
        "2026-01-01",
    ]
    assert list(store.find(status="failed")["name"]) == ["other"]
    assert len(store.find(name="sample", status="failed")) == 0
    with pytest.raises(UnknownName, match="no index column colour; known: run_id, status"):
        store.find(colour="red")


def test_filters_are_values_not_queries(store: Store) -> None:
    assert len(store.find(name="x' OR '1'='1")) == 0
    assert len(store.find()) == 4


@pytest.mark.parametrize("damage", [b"", b"not a database" * 100, None])
def test_a_damaged_index_is_rebuilt(store: Store, damage: bytes | None) -> None:
    before = store.find().rows()
    store.index.path.unlink()
    if damage is not None:
        store.index.path.write_bytes(damage)
    assert Store(store.folder).find().rows() == before


def test_an_index_of_another_version_is_rebuilt(store: Store) -> None:
    store.index.path.unlink()
    with sqlite3.connect(store.index.path) as db:
        db.execute("CREATE TABLE runs (run_id, colour)")
    db.close()
    assert len(store.find()) == 4


def test_runs_added_and_removed_by_hand_are_noticed(store: Store) -> None:
    ids = sorted(store.names())
    shutil.rmtree(store.path(ids[0]))
    shutil.copytree(store.path(ids[1]), store.path("by-hand"))
    assert set(store.find()["run_id"]) == {*ids[1:], "by-hand"}


def test_corrupt_runs_are_listed_as_such(store: Store) -> None:
    run_id = min(store.names())
    (store.path(run_id) / "run.json").write_text("{}")
    assert store.index.rebuild() == 4
    assert list(store.find(status="corrupt")["run_id"]) == [run_id]


def test_drafts_are_not_runs(store: Store) -> None:
    (store.runs / ".draft-sample-00000000").mkdir()
    (store.runs / "a file").write_text("x")
    assert store.index.rebuild() == 4


def test_an_index_that_cannot_be_written_is_made_in_memory(store: Store) -> None:
    before = store.find().rows()
    store.index.path.unlink()
    store.index.path.mkdir()
    assert store.find().rows() == before
    with pytest.raises(StoreError, match="cannot be replaced"):
        store.index.rebuild()
