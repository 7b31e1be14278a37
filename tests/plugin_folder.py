"""A folder with the probe of docs/howto/new-probe.md and a file that cannot be imported."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.config import settings
from workbench.methods import registry
from workbench.methods.plugin_places import folder_package

ROOT = Path(__file__).resolve().parents[1]
NAME = "write-agreement"


def filled(folder: Path) -> Path:
    folder.mkdir()
    page = (ROOT / "docs" / "howto" / "new-probe.md").read_text()
    code = page.split("```python\n", 1)[1].split("```", 1)[0]
    assert len(code.splitlines()) <= 60
    (folder / "mine.py").write_text(code)
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
    made = filled(tmp_path / "plugins")
    yield made
    settings.cache_clear()
    package = folder_package(made)
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]
