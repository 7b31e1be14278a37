"""A file that a user puts into a folder appears wherever a probe of ours does."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from app.health import checkup
from workbench.config import settings
from workbench.methods import registry
from workbench.methods.plugin_places import folder_package

Invoke = Callable[..., Result]

ROOT = Path(__file__).resolve().parents[2]
NAME = "my-direction"


def _filled(folder: Path) -> Path:
    folder.mkdir()
    ours = (ROOT / "probes" / "mean_difference.py").read_text()
    (folder / "mine.py").write_text(ours.replace('"mean-difference"', f'"{NAME}"'))
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of plugins, named in the environment."""
    registry.load_plugins()
    for state in ("_plugins", "_failures", "_loaded"):
        monkeypatch.setattr(registry, state, getattr(registry, state).copy())
    monkeypatch.setenv("WORKBENCH_PLUGINS", str(tmp_path / "plugins"))
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    settings.cache_clear()
    made = _filled(tmp_path / "plugins")
    yield made
    settings.cache_clear()
    package = folder_package(made)
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]


def test_it_is_listed_explained_and_run(folder: Path, invoke: Invoke) -> None:
    listed = invoke("probe", "list", "--json")
    packages = {row["name"]: row["package"] for row in json.loads(listed.stdout)}
    assert (packages[NAME], packages["isotropy"]) == (str(folder), "probes")
    assert f"skipped {folder / 'broken.py'}" in listed.stderr
    assert "--unit-norm" in invoke("probe", "run", NAME, "--help").stdout
    rows = [{"text": f"a dog {i}", "label": f"{i % 2}"} for i in range(12)]
    lines = "\n".join(map(json.dumps, rows))
    run = invoke(
        "probe", "run", NAME, "--model", "tiny:llama", "--data", "-", "--label", "label",
        "--site", "resid_post.0[-1]", "--json", input=lines,
    )  # fmt: skip
    assert json.loads(run.stdout)["status"] == "complete"


def test_doctor_names_the_folder_and_what_is_broken(folder: Path) -> None:
    found = {check.name: check for check in checkup()}
    assert found["plugin folder"].found == f"1 plugins in {folder}"
    assert found["plugin"].state == "warning"
    assert found["plugin"].found.startswith(f"{folder / 'broken.py'}: ModuleNotFoundError")


@pytest.mark.slow
def test_the_conformance_suite_runs_on_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/contract", "-k", NAME, "-v", "-n", "0"],
        cwd=ROOT,
        env={**os.environ, "WORKBENCH_PLUGINS": str(_filled(tmp_path / "plugins"))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"[{NAME}] PASSED" in done.stdout
