"""No file and no function grows beyond what one can hold in the head."""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("workbench", "probes", "reasoning", "causal", "app")
FILE_LINES, FUNCTION_LINES = 300, 40
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "tools", "shared", "base"}


def _modules() -> list[Path]:
    return sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))


@cache
def _nodes() -> tuple[tuple[Path, ast.AST], ...]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ImportFrom
    return tuple(
        (path, node)
        for path in _modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, kinds)
    )


def test_there_is_something_to_measure() -> None:
    assert len(_modules()) > 50


def test_files_stay_short() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _modules()
    }
    assert {name: n for name, n in lengths.items() if n > FILE_LINES} == {}


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring, which may be as long as it must."""
    first = node.body[0]
    told = ast.get_docstring(node) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if told else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_functions_stay_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": _length(node)
        for path, node in _nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _length(node) > FUNCTION_LINES
    }
    assert long == {}


def test_no_module_has_a_name_without_meaning() -> None:
    assert [str(p) for p in _modules() if p.stem in VAGUE or p.parent.name in VAGUE] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_code_is_a_package(package: str) -> None:
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [str(f) for f in folders if not (f / "__init__.py").exists()] == []


def test_no_module_defers_its_annotations() -> None:
    """Deferred annotations would silently switch off the shape checks of dataclasses."""
    deferred = "from __future__ import annotations"
    assert [str(p) for p in _modules() if deferred in p.read_text()] == []


def test_imports_are_absolute() -> None:
    relative = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, node in _nodes()
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []
