"""The probe of docs/howto/new-probe.md, put into a folder, appears wherever one of ours does."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from app import health
from tests.plugin_folder import NAME, ROOT, filled, folder
from workbench.methods import registry

__all__ = ["folder"]
Invoke = Callable[..., Result]

MODEL = ("--model", "tiny:llama")
TEXTS = ("--text", "a dog and a cat", "--text", "he said it is so")


def test_it_is_listed_explained_and_run(folder: Path, invoke: Invoke) -> None:
    listed = invoke("probe", "list", "--json")
    packages = {row["name"]: row["package"] for row in json.loads(listed.stdout)}
    assert (packages[NAME], packages["isotropy"]) == (str(folder), "probes")
    assert f"skipped {folder / 'broken.py'}" in listed.stderr
    assert "--layers" in invoke("probe", "run", NAME, "--help").stdout
    run = invoke("probe", "run", NAME, *MODEL, *TEXTS, "--layers", "1:", "--json")
    facts = json.loads(run.stdout)
    assert facts["status"] == "complete"
    assert [row["layer"] for row in facts["tables"]["layers"]] == [1, 2]
    refused = invoke("probe", "run", NAME, *MODEL, *TEXTS, "--layers", "7:", code=2)
    assert "attn_out.7: matches no layer" in refused.stderr


def test_it_is_in_a_batch_beside_ours(folder: Path, invoke: Invoke) -> None:
    rows = folder.parent / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "a dog and cat {i}"}}\n' for i in range(6)))
    plan = folder.parent / "plan.toml"
    plan.write_text(
        f'name = "both"\nshard_rows = 3\nresamples = 20\nmodel = {{ name = "tiny:llama" }}\n'
        f'data = {{ path = "{rows}" }}\n'
        f'[[probes]]\nname = "{NAME}"\n[[probes]]\nname = "token-trace"\n'
    )
    runs = json.loads(invoke("batch", str(plan), "--json").stdout)["runs"]
    assert [run["status"] for run in runs] == ["complete", "complete"]
    assert runs[0]["summary"].startswith("Attention and MLP write no more alike")


def test_it_has_a_page(folder: Path) -> None:
    spec = importlib.util.spec_from_file_location("build_pages", ROOT / "docs" / "build_pages.py")
    assert spec is not None
    assert spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    assert f"[{NAME}](probe/{NAME}.md)" in builder.plugin_index()
    assert "`--layers`" in builder.plugin_page(registry.find("probe", NAME))
    assert folder.is_dir()


def test_doctor_names_the_folder_and_what_is_broken(folder: Path) -> None:
    found = {check.name: check for check in health._plugins()}
    assert found["plugin folder"].found == f"1 plugins in {folder}"
    assert found["plugin"].state == "warning"
    assert found["plugin"].found.startswith(f"{folder / 'broken.py'}: ModuleNotFoundError")


@pytest.mark.slow
def test_the_conformance_suite_runs_on_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/contract", "-k", NAME, "-v", "-n", "0"],
        cwd=ROOT,
        env={**os.environ, "WORKBENCH_PLUGINS": str(filled(tmp_path / "plugins"))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"[{NAME}] PASSED" in done.stdout
