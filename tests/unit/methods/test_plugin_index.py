"""The index of plugins says what their classes say, and a file in a folder is a plugin."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workbench.config import settings
from workbench.methods import registry
from workbench.methods.plugin import DECLARED, Plugin
from workbench.methods.plugin_index import SHIPPED
from workbench.methods.plugin_places import folder_package
from workbench.methods.registry import declared, failures, find, plugins
from workbench.methods.write_index import shipped_packages

Reload = Callable[[], tuple[Plugin, ...]]

FILE = '''
"""Lengths."""
from dataclasses import dataclass
from workbench.methods.registry import probe
from workbench.model.sites import Site
from workbench.options import option

@probe("{name}", source="A paper")
@dataclass(frozen=True, kw_only=True)
class Lengths:
    """{summary}"""
    where: tuple[Site, ...] = option((Site.parse("logits[0,-1]"),), help="Where.")
    most: int | None = option(None, help="At most.", low=1, unit="tokens")

    def study(self, model, examples, context):
        """Measure."""
'''


def _written(folder: Path, file: str, name: str, summary: str = "Measure lengths.") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / file
    path.write_text(FILE.format(name=name, summary=summary))
    return path


@pytest.fixture
def reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reload]:
    """List the plugins as a new program does, with folders `a` and `b` beside the packages."""
    folders = [tmp_path / "a", tmp_path / "b"]
    monkeypatch.setenv("WORKBENCH_PLUGINS", os.pathsep.join(map(str, folders)))
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    settings.cache_clear()

    def forget() -> None:
        for folder in folders:
            package = folder_package(folder)
            for name in [name for name in sys.modules if name.split(".")[0] == package]:
                del sys.modules[name]
            for key in [key for key in DECLARED if key[2].split(".")[0] == package]:
                del DECLARED[key]

    def again() -> tuple[Plugin, ...]:
        forget()
        for state, empty in (("_plugins", {}), ("_failures", []), ("_loaded", set())):
            monkeypatch.setattr(registry, state, empty)
        return tuple(found for found in plugins() if found.home.startswith("workbench_files"))

    yield again
    forget()
    settings.cache_clear()


def test_the_shipped_index_is_up_to_date() -> None:
    shipped = json.loads(SHIPPED.read_text())["modules"]
    modules = declared(shipped_packages())
    found = {name: [p.as_dict() for p in declares] for name, declares in modules.items()}
    assert json.loads(json.dumps(found)) == shipped, "run `make index`"


@pytest.mark.parametrize("kind", registry.KINDS)
def test_what_is_written_is_what_is_read(kind: str) -> None:
    for found in plugins(kind):
        described = Plugin.of(kind, found.name, found.recipe, source=found.source)
        written = json.loads(json.dumps(described.as_dict()))
        assert Plugin.from_dict(written, home=found.home) == described == found


def test_a_file_in_a_folder_is_a_plugin(reload: Reload, tmp_path: Path) -> None:
    path = _written(tmp_path / "a", "mine.py", "lengths")
    (first,) = reload()
    assert (first.name, first.package) == ("lengths", str(tmp_path / "a"))
    assert first.loaded is not None
    (second,) = reload()
    assert second == first
    assert second.loaded is None
    assert second.home not in sys.modules
    assert second.recipe.__name__ == "Lengths"
    path.write_text(path.read_text().replace("lengths.", "widths."))
    assert [found.summary for found in reload()] == ["Measure widths."]
    path.unlink()
    assert reload() == ()


def test_a_change_to_inherited_options_is_noticed(reload: Reload, tmp_path: Path) -> None:
    _written(tmp_path / "a", "_base.py", "unused")
    base = tmp_path / "a" / "_base.py"
    base.write_text(base.read_text().replace('@probe("unused", source="A paper")\n', ""))
    (tmp_path / "a" / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom workbench.methods.registry import probe\n"
        'from ._base import Lengths\n\n@probe("mine")\n@dataclass(frozen=True, kw_only=True)\n'
        'class Mine(Lengths):\n    """Inherit."""\n'
    )
    assert [info.low for info in reload()[0].options] == [None, 1]
    base.write_text(base.read_text().replace("low=1", "low=12"))
    assert [info.low for info in reload()[0].options] == [None, 12]


def test_a_broken_file_is_skipped_until_it_is_mended(reload: Reload, tmp_path: Path) -> None:
    _written(tmp_path / "a", "good.py", "good")
    broken = tmp_path / "a" / "broken.py"
    broken.write_text("import nothing_of_that_name\n")
    for _ in range(2):
        assert [found.name for found in reload()] == ["good"]
        (failure,) = failures()
        assert failure.where == str(broken)
        assert "nothing_of_that_name" in failure.reason
    _written(tmp_path / "a", "broken.py", "mended")
    assert [found.name for found in reload()] == ["good", "mended"]
    assert failures() == ()


def test_two_plugins_of_one_name_are_an_error(reload: Reload, tmp_path: Path) -> None:
    _written(tmp_path / "a", "mine.py", "lengths", "Of a.")
    reload()
    _written(tmp_path / "b", "mine.py", "lengths", "Of b.")
    _written(tmp_path / "b", "other.py", "isotropy")
    for _ in range(2):
        assert [found.summary for found in reload()] == ["Of a."]
        reasons = sorted(failure.reason for failure in failures())
        assert all("is already registered by" in reason for reason in reasons)
        assert ["isotropy" in reason for reason in reasons] == [True, False]
    assert find("probe", "isotropy").package == "probes"


def test_a_damaged_cache_is_read_anew(reload: Reload, tmp_path: Path) -> None:
    _written(tmp_path / "a", "mine.py", "lengths")
    reload()
    kept = tmp_path / "cache" / "plugins.json"
    kept.write_text(kept.read_text().replace('"options"', '"optional"'))
    assert [found.name for found in reload()] == ["lengths"]
    kept.write_text("{")
    assert [found.name for found in reload()] == ["lengths"]
