"""What the store was given comes back, whatever happens to the disk in between."""

import errno
import json
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.errors import CorruptRun, RunNotFound, StoreError
from workbench.result.result import Result
from workbench.result.tables import Table
from workbench.runs.migrations import SCHEMA_VERSION
from workbench.runs.run import Failure, Run
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def _seeded(run: Run, seed: int) -> Run:
    return replace(run, spec=replace(run.spec, seed=seed))


def test_round_trip(store: Store, run: Run, result: Result) -> None:
    store.put(run)
    again = store.get(run.run_id)
    assert again.result is not None
    assert again.result.equals(result)
    assert again.as_dict() == run.as_dict()
    assert again.spec == run.spec
    assert again.result.arrays["x"].flags["C_CONTIGUOUS"]


def test_failed_runs_are_kept_too(store: Store, run: Run) -> None:
    failure = Failure(code="fit", message="did not converge", hint="more data")
    store.put(replace(run, status="failed", result=None, failure=failure))
    again = store.get(run.run_id)
    assert (again.status, again.result, again.failure) == ("failed", None, failure)
    assert store.find()["summary"][0] == "did not converge"


def test_a_beginning_of_an_id_is_enough_if_it_is_unique(store: Store, run: Run) -> None:
    store.put(run)
    store.put(_seeded(run, 1))
    assert store.complete(run.run_id[:14]) == run.run_id
    with pytest.raises(RunNotFound, match="2 runs begin with it"):
        store.get("sample")
    with pytest.raises(RunNotFound, match="none does"):
        store.get("other")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a..b", "x" * 200, "a\nb"])
def test_ids_cannot_leave_the_folder(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="not a run id"):
        store.path(name)


def test_removed_runs_are_gone(store: Store, run: Run) -> None:
    store.put(run)
    assert store.remove(run.run_id[:-3]) == run.run_id
    assert run.run_id not in store
    assert len(store.find()) == 0
    with pytest.raises(RunNotFound):
        store.remove(run.run_id)


@pytest.mark.parametrize("name", ["run.json", "tables/layers.parquet", "arrays.safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_damage_is_noticed_and_the_rest_stays_readable(
    store: Store, run: Run, name: str, damage: str
) -> None:
    store.put(run)
    other = _seeded(run, 1)
    store.put(other)
    path = store.path(run.run_id) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    with pytest.raises(CorruptRun) as error:
        store.get(run.run_id)
    assert "--fresh" in error.value.hint
    assert store.get(other.run_id).status == "complete"
    assert len(Store(store.folder).find()) == 2
    assert store.remove(run.run_id) == run.run_id


def test_unverified_damage_is_still_an_error_of_ours(store: Store, run: Run) -> None:
    store.put(run)
    (store.path(run.run_id) / "tables" / "layers.parquet").write_bytes(b"nonsense")
    with pytest.raises(CorruptRun):
        store.get(run.run_id, verify=False)


@pytest.mark.parametrize("version", [None, 0, SCHEMA_VERSION + 1, "1"])
def test_records_of_unknown_versions(store: Store, run: Run, version: object) -> None:
    store.put(run)
    _rewrite(store, run, {"schema_version": version})
    with pytest.raises(CorruptRun, match="schema version"):
        store.get(run.run_id)
    assert store.status(run.run_id) == "corrupt"


def test_records_that_lack_a_part(store: Store, run: Run) -> None:
    store.put(run)
    _rewrite(store, run, {"estimates": [{"name": "x"}]})
    with pytest.raises(CorruptRun, match="cannot be read"):
        store.get(run.run_id)


def _rewrite(store: Store, run: Run, changes: dict[str, Any]) -> None:
    import hashlib

    folder = store.path(run.run_id)
    record = {**json.loads((folder / "run.json").read_text()), **changes}
    data = json.dumps(record).encode()
    (folder / "run.json").write_bytes(data)
    (folder / "run.sha256").write_text(hashlib.sha256(data).hexdigest())


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Let no file grow beyond a size, which the kernel refuses as it refuses a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 300, 2000, 5000])
def test_a_write_that_fails_leaves_the_old_run_whole(
    store: Store, run: Run, small_files: Callable[[int], None], size: int
) -> None:
    store.put(run)
    big = replace(run.result, arrays={"x": np.zeros(50_000)}) if run.result else None
    small_files(size)
    with pytest.raises(StoreError, match="cannot write to"):
        store.put(replace(run, result=big))
    small_files(resource.RLIM_INFINITY)
    assert store.get(run.run_id).as_dict() == run.as_dict()
    assert [p.name for p in store.runs.iterdir()] == [run.run_id]


def test_a_full_disk_says_so(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device") as error:
        store.put(run)
    assert "free some space" in error.value.hint
    monkeypatch.undo()
    assert len(store.find()) == 0
    store.put(run)
    assert store.get(run.run_id).as_dict() == run.as_dict()


def test_a_crash_between_the_two_renames_is_healed(
    store: Store, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(run)
    renames: list[Path] = []
    rename = Path.rename

    def crash(self: Path, target: Path) -> Path:
        renames.append(self)
        if len(renames) == 2:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", crash)
    with pytest.raises(KeyboardInterrupt):
        store.put(run)
    monkeypatch.undo()
    assert run.run_id not in store
    assert Store(store.folder).get(run.run_id).as_dict() == run.as_dict()


def test_many_writers_of_one_run(store: Store, run: Run) -> None:
    errors: list[BaseException] = []

    def write(seed: int) -> None:
        try:
            mine = Store(store.folder)
            for _ in range(5):
                mine.put(run)
                mine.put(_seeded(run, seed))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.find()) == 5
    assert store.get(run.run_id).as_dict() == run.as_dict()
    assert {p.name for p in store.runs.iterdir()} == store.names()


def test_tables_that_no_file_can_hold(store: Store, run: Run) -> None:
    mixed = Table.from_rows([{"a": 1}, {"a": "two"}, {"a": [3]}])
    assert run.result is not None
    with pytest.raises(StoreError, match="table 'mixed' cannot be stored"):
        store.put(replace(run, result=replace(run.result, tables={"mixed": mixed})))
    with pytest.raises(StoreError, match="cannot name a table"):
        store.put(replace(run, result=replace(run.result, tables={"../x": mixed})))
    objects = {"x": np.array([{}, None])}
    with pytest.raises(StoreError, match="arrays cannot be stored"):
        store.put(replace(run, result=replace(run.result, arrays=objects)))
    assert list(store.runs.iterdir()) == []


def test_text_that_is_not_unicode_is_kept(store: Store) -> None:
    spec = RunSpec(name="sample", data=DataRef(texts=("ok", "\udcff"), path="a\ud800.txt"))
    run = Run(spec=spec, status="complete", result=Result(summary="it is \x1b[31m"))
    store.put(run)
    assert store.get(run.run_id).spec == spec


def test_numbers_of_other_libraries_become_plain(store: Store, run: Run) -> None:
    provenance = {"seconds": np.float32(1.5), "layers": np.int64(3), "where": Path("a")}
    store.put(replace(run, provenance=provenance))
    assert store.get(run.run_id).provenance == {"seconds": 1.5, "layers": 3, "where": "a"}


def test_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match="cannot write to") as error:
        Store(tmp_path / "file")
    assert "WORKBENCH_STORE" in error.value.hint


def test_a_store_copied_elsewhere_is_a_store(store: Store, run: Run, tmp_path: Path) -> None:
    store.put(run)
    shutil.copytree(store.folder, tmp_path / "copy")
    assert Store(tmp_path / "copy").get(run.run_id).as_dict() == run.as_dict()
