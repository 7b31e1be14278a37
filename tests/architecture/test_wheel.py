"""The built wheel, installed into an empty environment, works without the source tree."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("workbench", "probes", "reasoning", "causal", "app")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy, so that nothing is left in the source tree."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", str(source))
    return next((source / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds only the wheel and borrows its dependencies from this one.

    A path file makes the dependencies importable; path files inside a borrowed folder are not
    read, so an editable install of the project stays invisible.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    _run(
        sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", str(wheel)
    )  # fmt: skip
    site = next((home / "lib").glob("python*/site-packages"))
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return home


def _run(*command: str, cwd: Path | None = None) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_five_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {*PACKAGES, f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}
    kept = {name for name in names if not name.endswith(".py")}
    shipped = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert shipped - kept == set()


def test_the_project_comes_from_the_wheel_alone(environment: Path, tmp_path: Path) -> None:
    code = f"import importlib; [print(importlib.import_module(m).__file__) for m in {PACKAGES}]"
    places = _run(str(environment / "bin" / "python"), "-c", code, cwd=tmp_path).split()
    assert len(places) == len(PACKAGES)
    assert [place for place in places if not place.startswith(str(environment))] == []


@pytest.mark.parametrize("command", ["workbench", "latent-workbench"])
def test_the_doctor_is_content(environment: Path, tmp_path: Path, command: str) -> None:
    _run(str(environment / "bin" / command), "doctor", cwd=tmp_path)


def test_a_tiny_model_runs(environment: Path, tmp_path: Path) -> None:
    code = (
        "import workbench as wb; m = wb.load_model('tiny:llama', device='cpu');"
        "print(tuple(m.run('the cat', read=['resid_post.-1'])['resid_post.-1'].shape))"
    )
    assert _run(str(environment / "bin" / "python"), "-c", code, cwd=tmp_path) == "(1, 2, 32)\n"
