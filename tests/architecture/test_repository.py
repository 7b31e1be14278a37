"""What is kept under version control is small, clean and accounted for."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 1 << 20
# Trained weights that ship stand beside their manifest and nowhere else.
WEIGHTS, LARGEST_WEIGHTS = ROOT / "workbench" / "data" / "models", 16_000_000


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """Every file under version control, or every file there is outside a checkout."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        return [path for path in ROOT.rglob("*") if path.is_file() and ".venv" not in path.parts]
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_no_large_file(tracked: list[Path]) -> None:
    assert [str(path) for path in tracked if path.stat().st_size > _allowed(path)] == []


def _allowed(path: Path) -> int:
    ships = path.suffix == ".safetensors" and path.is_relative_to(WEIGHTS)
    return LARGEST_WEIGHTS if ships and (path.parent / "manifest.json").is_file() else LARGEST


def test_no_output_in_notebooks(tracked: list[Path]) -> None:
    for path in tracked:
        if path.suffix == ".ipynb":
            cells = json.loads(path.read_text())["cells"]
            assert [cell for cell in cells if cell.get("outputs")] == [], path


def _skips(path: Path) -> list[str]:
    """Return the functions of a test file that skip or expect failure."""
    found: list[str] = []
    text = path.read_text()
    if "skip" not in text and "xfail" not in text:
        return found
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            names = {
                part.attr if isinstance(part, ast.Attribute) else part.id
                for part in ast.walk(node)
                if isinstance(part, ast.Attribute | ast.Name)
            }
            if names & {"skip", "skipif", "xfail", "importorskip"}:
                found.append(node.name)
    return found


def test_every_skip_has_a_reason_on_file(tracked: list[Path]) -> None:
    reasons = (ROOT / "tests" / "SKIPS.md").read_text()
    tests = [path for path in tracked if path.name.startswith("test_") and path.suffix == ".py"]
    unexplained = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in tests
        for name in _skips(path)
        if f"`{name}`" not in reasons
    ]
    assert unexplained == []


def test_test_files_have_names_of_their_own(tracked: list[Path]) -> None:
    names = [path.name for path in tracked if path.name.startswith("test_")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
