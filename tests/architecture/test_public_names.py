"""What `import workbench` offers is exactly what it lists."""

import ast
import importlib
from pathlib import Path

import pytest

import workbench

SOURCE = Path(workbench.__file__).read_text()


def _declared_to_type_checkers() -> set[str]:
    for node in ast.parse(SOURCE).body:
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            return {
                f"{line.module}:{alias.name}"
                for line in node.body
                if isinstance(line, ast.ImportFrom)
                for alias in line.names
            }
    return set()


def test_the_three_lists_agree() -> None:
    homes = {f"{module}:{name}" for name, module in workbench._HOME_OF.items()}
    assert homes == _declared_to_type_checkers()
    assert set(workbench.__all__) == set(workbench._HOME_OF)
    assert len(set(workbench.__all__)) == len(workbench.__all__)


@pytest.mark.parametrize("name", workbench.__all__)
def test_every_name_comes_from_its_home_and_is_explained(name: str) -> None:
    found = getattr(workbench, name)
    assert found is getattr(importlib.import_module(workbench._HOME_OF[name]), name)
    assert found.__doc__
    assert name in dir(workbench)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = workbench.nothing


def test_the_version_is_that_of_the_distribution() -> None:
    assert workbench.__version__.count(".") == 2
