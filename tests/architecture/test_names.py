"""The five names are ours, and no page of the dashboard hides a real module."""

import importlib.util
import sys
from importlib.metadata import Distribution, packages_distributions
from pathlib import Path

import pytest

from app import guard
from app.guard import NAMES, OURS, check_names, name_problems, owners_of

ROOT = Path(__file__).resolve().parents[2]


class _Installed(Distribution):
    """A distribution with a name, its files and, as older tools write it, `top_level.txt`."""

    def __init__(self, name: str, files: list[str], top_level: str | None = None) -> None:
        self._texts = {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
            "RECORD": "".join(f"{file},sha256=x,1\n" for file in files),
            "top_level.txt": top_level,
        }

    def read_text(self, filename: str) -> str | None:
        return self._texts.get(filename)

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


def test_the_names_are_ours_here() -> None:
    assert name_problems() == []
    check_names()
    known = packages_distributions()
    assert {name: set(known[name]) for name in NAMES} == {name: {OURS} for name in NAMES}


@pytest.mark.parametrize(
    "stranger",
    [
        _Installed("Workbench", ["workbench/__init__.py", "workbench/cli.py"]),
        _Installed("some.thing", ["app.py", "some/thing.py"]),
        _Installed("probes", [], top_level="probes\n"),
    ],
)
def test_a_second_owner_is_found(stranger: Distribution, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = _Installed("latent_workbench", [], top_level="\n".join(NAMES))
    monkeypatch.setattr(guard, "distributions", lambda: [ours, stranger])
    with pytest.raises(SystemExit) as stopped:
        check_names()
    message = str(stopped.value)
    assert "claimed by" in message
    assert OURS in message
    assert "fresh environment" in message


def test_names_that_only_resemble_ours_are_no_problem() -> None:
    others = [_Installed("applause", ["applause/__init__.py", "my/app/__init__.py", "apps.py"])]
    assert owners_of(NAMES, others) == {name: set() for name in NAMES}


def test_a_package_from_elsewhere_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = guard._place
    monkeypatch.setattr(
        guard, "_place", lambda name: Path("/elsewhere") if name == "causal" else real(name)
    )
    assert name_problems() == [
        f"importing 'causal' would give /elsewhere; the workbench started from {ROOT}"
    ]


def test_pages_hide_no_module() -> None:
    """Streamlit puts the entry script's folder first on the path."""
    web = ROOT / "app" / "web"
    stems = {path.stem for path in web.rglob("*.py")} - {"__init__", "entry"}
    assert {stem for stem in stems if not stem.endswith("_view")} == set()
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    assert (stems | {"entry", "views"}) & taken == set()


def test_tests_and_docs_are_no_packages() -> None:
    assert not (ROOT / "tests" / "__init__.py").exists()
    assert not (ROOT / "docs" / "__init__.py").exists()
    assert importlib.util.find_spec("latent_workbench") is None
