"""The command line in this process and as a program of its own."""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.main import cli
from workbench.methods import registry

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "sample_plugin"

Invoke = Callable[..., Result]
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def invoke(store_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run the command line in this process, with an empty store."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*args: str, input: str | bytes | None = None, code: int | None = 0) -> Result:
        result = CliRunner().invoke(cli, args, input=input, prog_name="workbench")
        if code is not None:
            assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def sample_probe(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a quick probe, registered for one test."""
    registry.load_plugins()
    known = dict(registry._plugins)
    monkeypatch.syspath_prepend(str(SAMPLE))
    importlib.import_module("sample_probes.first_token")
    yield "first-token-norm"
    registry._plugins.clear()
    registry._plugins.update(known)
    for name in [name for name in sys.modules if name.split(".")[0] == "sample_probes"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def sample_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample plugin installed in it, as pip installs any package."""
    source = tmp_path_factory.mktemp("source") / "sample_plugin"
    shutil.copytree(SAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*command, str(source)], check=True, capture_output=True, text=True)
    return target


@pytest.fixture
def program(tmp_path: Path, sample_site: Path) -> Program:
    """Run the command line as a program of its own, with the sample plugin installed."""

    def run(
        *args: str,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        code: int | None = 0,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli.main", *args],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env={**program_environment(tmp_path, sample_site), **(env or {})},
            timeout=240,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def program_environment(folder: Path, site: Path) -> dict[str, str]:
    """Return the environment of a program that keeps to its own folders."""
    return {
        **os.environ,
        "PYTHONPATH": str(site),
        "WORKBENCH_STORE": str(folder / "store"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
    }


def is_told(done: Result, about: object) -> None:
    """Fail unless the command ended with an error, a hint and no crash."""
    assert "unexpected" not in done.output, (about, done.output)
    assert done.exit_code in (1, 2), (about, done.output)
    assert "try:" in done.stderr, (about, done.output)
