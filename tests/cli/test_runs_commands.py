"""Stored runs are listed, shown, exported and removed."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result

from workbench.runs.spec import RunSpec
from workbench.runs.store import Store

Invoke = Callable[..., Result]


@pytest.fixture
def ids(invoke: Invoke, sample_probe: str) -> list[str]:
    """Three runs of the quick probe, the last of them failed."""
    run = ("probe", "run", sample_probe, "--model", "tiny:llama", "--resamples", "20", "--json")
    texts = ("the dog and the cat", "is it so , he said")
    return [
        json.loads(invoke(*run, "--text", texts[0]).stdout)["run_id"],
        json.loads(invoke(*run, "--text", texts[1]).stdout)["run_id"],
        json.loads(invoke(*run, "--text", "the", code=1).stdout)["run_id"],
    ]


def test_list_and_filter(invoke: Invoke, ids: list[str]) -> None:
    rows = json.loads(invoke("runs", "list", "--json").stdout)
    assert {row["run_id"] for row in rows} == set(ids)
    failed = invoke("runs", "list", "--filter", "status=failed", "--csv").stdout
    assert [row["run_id"] for row in csv.DictReader(io.StringIO(failed))] == [ids[2]]
    both = invoke("runs", "list", "--filter", "status=failed", "--filter", "name=isotropy")
    assert "no such run" in both.stderr
    assert len(json.loads(invoke("runs", "list", "--limit", "2", "--json").stdout)) == 2
    assert "complete" in invoke("runs", "list").stdout


@pytest.mark.parametrize("pair", ["status", "=x", "colour=red"])
def test_filters_that_are_none(invoke: Invoke, pair: str) -> None:
    assert "try:" in invoke("runs", "list", "--filter", pair, code=2).stderr


def test_an_empty_store_says_so(invoke: Invoke) -> None:
    done = invoke("runs", "list")
    assert (done.stdout, "no such run" in done.stderr) == ("", True)
    assert invoke("runs", "list", "--json").stdout == "[]\n"


def test_show(invoke: Invoke, ids: list[str]) -> None:
    assert "first_token_ratio" in invoke("runs", "show", ids[0]).stdout
    assert json.loads(invoke("runs", "show", ids[0], "--json").stdout)["run_id"] == ids[0]
    spec = RunSpec.from_toml(invoke("runs", "show", ids[0], "--toml").stdout)
    assert spec.run_id == ids[0]
    whole = invoke("runs", "show", ids[0], "--table", "layers").stdout
    assert "estimates" not in whole
    assert "no table 'x'" in invoke("runs", "show", ids[0], "--table", "x", code=2).stderr
    assert "no text holds three tokens" in invoke("runs", "show", ids[2]).stderr
    for wrong in ("first", "nothing", "../etc"):
        assert "`workbench runs list`" in invoke("runs", "show", wrong, code=1).stderr


def test_export_to_standard_output(invoke: Invoke, ids: list[str]) -> None:
    assert json.loads(invoke("runs", "export", ids[0]).stdout)["run_id"] == ids[0]
    table = invoke("runs", "export", ids[0], "--format", "csv", "--table", "layers").stdout
    assert len(list(csv.DictReader(io.StringIO(table)))) == 3
    assert invoke("runs", "export", ids[0], "--format", "html").stdout.startswith("<!doctype html>")
    binary = invoke("runs", "export", ids[0], "--format", "parquet", code=2)
    assert "say where with -o" in binary.stderr


def test_export_to_files(invoke: Invoke, ids: list[str], tmp_path: Path) -> None:
    def export(form: str, name: str) -> Path:
        done = invoke("runs", "export", ids[0], "--format", form, "-o", str(tmp_path / name))
        assert done.stdout == ""
        assert name in done.stderr
        return tmp_path / name

    assert len(pd.read_parquet(export("parquet", "layers.parquet"))) == 3
    with zipfile.ZipFile(export("zip", "run.zip")) as archive:
        assert f"{ids[0]}/run.json" in archive.namelist()
    (tmp_path / "folder").mkdir()
    export("csv", "folder")
    assert (tmp_path / "folder" / "layers.csv").is_file()
    nowhere = str(tmp_path / "none" / "x" / "run.json")
    assert "No such file" in invoke("runs", "export", ids[0], "-o", nowhere, code=1).stderr


def test_rm_checks_all_ids_first(invoke: Invoke, ids: list[str], store_path: Path) -> None:
    invoke("runs", "rm", ids[0], "nothing", code=1)
    assert len(Store(store_path).find()) == 3
    done = invoke("runs", "rm", ids[0], ids[2])
    assert done.stderr.count("removed") == 2
    assert list(Store(store_path).find()["run_id"]) == [ids[1]]
    assert "Missing argument" in invoke("runs", "rm", code=2).stderr


def test_index(invoke: Invoke, ids: list[str], store_path: Path) -> None:
    (store_path / "runs" / ids[1] / "run.json").write_text("{}")
    done = invoke("runs", "index", "--rebuild")
    assert "indexed 3 runs" in done.stderr
    assert "3 runs, 1 corrupt" in done.stderr
    assert done.stdout == f"{ids[1]}\n"
