"""A package installed beside the workbench appears everywhere, with no other change."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from workbench.methods import registry

Invoke = Callable[..., Result]
Program = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).resolve().parents[2]
NAME = "first-token-norm"


@pytest.fixture
def installed(sample_site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The installed plugin, found through its entry point and nothing else."""
    registry.load_plugins()
    known, loaded = dict(registry._plugins), set(registry._loaded)
    assert ("probe", NAME) not in known
    monkeypatch.syspath_prepend(str(sample_site))
    importlib.invalidate_caches()
    registry.load_plugins()
    yield sample_site
    registry._plugins.clear()
    registry._plugins.update(known)
    registry._loaded.clear()
    registry._loaded.update(loaded)
    for name in [name for name in sys.modules if name.split(".")[0] == "sample_probes"]:
        del sys.modules[name]


@pytest.mark.usefixtures("installed")
def test_in_the_command_line(invoke: Invoke) -> None:
    rows = json.loads(invoke("probe", "list", "--json").stdout)
    assert {row["name"]: row["package"] for row in rows}[NAME] == "sample_probes"
    assert "Compare the length of the first token" in invoke("probe", "show", NAME).stdout
    assert "--where" in invoke("probe", "run", NAME, "--help").stdout
    run = invoke(
        "probe", "run", NAME, "--model", "tiny:llama", "--text", "a dog and a cat", "--json"
    )
    facts = json.loads(run.stdout)
    assert (facts["status"], len(facts["tables"]["layers"])) == ("complete", 3)
    assert all(0 < row["ratio"] < 100 for row in facts["tables"]["layers"])


def test_in_the_docs(installed: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("build_pages", ROOT / "docs" / "build_pages.py")
    assert spec is not None
    assert spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    builder.main(tmp_path)
    page = (tmp_path / "probe" / f"{NAME}.md").read_text()
    assert "Compare the length of the first token" in page
    assert "--where" in page
    assert NAME in (tmp_path / "plugins.md").read_text()
    command = (tmp_path / "command" / f"probe-run-{NAME}.md").read_text()
    assert f"workbench probe run {NAME}" in command


def test_the_plugin_is_one_file_and_one_line() -> None:
    folder = ROOT / "tests" / "sample_plugin"
    modules = [p for p in (folder / "sample_probes").glob("*.py") if p.name != "__init__.py"]
    assert [p.name for p in modules] == ["first_token.py"]
    assert 'sample = "sample_probes"' in (folder / "pyproject.toml").read_text()


DASHBOARD = """
import sys
import beartype
from streamlit.testing.v1 import AppTest
from app.panels.model_loading import LOADER

LOADER.plugins().finished.wait(120)
at = AppTest.from_file(sys.argv[1], default_timeout=120)
at.query_params["model"] = "tiny:llama"
at.run()
at.switch_page("views/probe_view.py").run()
assert not at.exception, at.exception
print(sorted({option for box in at.selectbox for option in map(str, box.options)}))
"""


@pytest.mark.slow
def test_in_the_dashboard(sample_site: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DASHBOARD, str(ROOT / "app" / "web" / "entry.py")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(sample_site), "WORKBENCH_STORE": str(tmp_path)},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert NAME in done.stdout


@pytest.mark.slow
def test_in_a_program_of_its_own(program: Program) -> None:
    assert NAME in program("probe", "list").stdout
    run = program(
        "probe", "run", NAME, "--model", "tiny:llama", "--json",
        input="the dog and the cat\nhe said it is so\n",
    )  # fmt: skip
    facts = json.loads(run.stdout)
    assert (facts["status"], facts["estimates"][0]["n"]) == ("complete", 2)
    assert "reading texts from standard input" in run.stderr
    assert program("doctor").returncode == 0
