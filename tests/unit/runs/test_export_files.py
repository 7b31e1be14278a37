"""What is exported is what is stored."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from workbench.errors import BadOption, DataError, UnknownName
from workbench.result.result import Result
from workbench.runs.export import exported, run_html
from workbench.runs.run import Run
from workbench.runs.store import Store


@pytest.fixture
def store(tmp_path: Path, run: Run) -> Store:
    store = Store(tmp_path / "store")
    store.put(run)
    return store


def test_json_holds_the_whole_run(store: Store, run: Run) -> None:
    files = exported(store, run.run_id, "json")
    assert list(files) == [f"{run.run_id}.json"]
    assert json.loads(next(iter(files.values()))) == json.loads(json.dumps(run.as_dict()))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_one_file_each(store: Store, run: Run, form: str) -> None:
    files = exported(store, run.run_id, form)
    assert set(files) == {f"layers.{form}", f"empty.{form}"}
    stream = io.BytesIO(files[f"layers.{form}"])
    frame = pd.read_csv(stream) if form == "csv" else pd.read_parquet(stream)
    assert run.result is not None
    pd.testing.assert_frame_equal(frame, run.result.tables["layers"].frame, check_dtype=False)
    assert list(exported(store, run.run_id, form, table="layers")) == [f"layers.{form}"]


def test_zip_is_a_run_folder_that_another_store_takes(
    store: Store, run: Run, tmp_path: Path
) -> None:
    data = exported(store, run.run_id, "zip")[f"{run.run_id}.zip"]
    other = Store(tmp_path / "other")
    zipfile.ZipFile(io.BytesIO(data)).extractall(other.runs)
    assert other.get(run.run_id).as_dict() == run.as_dict()


def test_html_is_one_page_with_everything_escaped(store: Store, run: Run) -> None:
    page = exported(store, run.run_id, "html")[f"{run.run_id}.html"].decode()
    assert "src=" not in page.replace("data:", "")[:2000]
    assert "It is 0.5" in page
    nasty = Result(summary="<script>alert(1)</script>")
    assert "<script>alert" not in run_html(replace(run, result=nasty))
    assert "failed" in run_html(replace(run, result=None, status="failed"))


def test_what_cannot_be_exported_says_why(store: Store, run: Run) -> None:
    with pytest.raises(BadOption, match="format is 'pdf'"):
        exported(store, run.run_id, "pdf")
    with pytest.raises(BadOption, match="holds every table"):
        exported(store, run.run_id, "json", table="layers")
    with pytest.raises(UnknownName, match="no table 'x'; it has layers, empty"):
        exported(store, run.run_id, "csv", table="x")
    bare = replace(run, spec=replace(run.spec, seed=9), result=Result(summary="nothing"))
    store.put(bare)
    with pytest.raises(DataError, match="holds no table"):
        exported(store, bare.run_id, "csv")
