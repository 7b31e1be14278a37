"""Where plugins are found: packages that entry points name, and folders of single files."""

import hashlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from pathlib import Path

from workbench.config import settings

GROUP = "workbench.plugins"
_FOLDER = "workbench_files_"


def places() -> tuple[str, ...]:
    """Return the packages that hold plugins; each folder of the settings stands for one."""
    named = _installed(tuple(sys.path))
    folders = (folder_package(folder) for folder in settings().plugins if folder.is_dir())
    return tuple(dict.fromkeys((*named, *folders)))


@cache
def _installed(path: tuple[str, ...]) -> tuple[str, ...]:
    # Every lookup of a plugin asks, and to read all that is installed takes tens of milliseconds.
    return tuple(entry.value for entry in entry_points(group=GROUP))


def folder_package(folder: Path) -> str:
    """Return the name of a package whose modules are the files of that folder and no others."""
    where = str(folder.resolve())
    name = f"{_FOLDER}{hashlib.sha256(where.encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        spec = ModuleSpec(name, loader=None, is_package=True)
        spec.submodule_search_locations = [where]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return name


def module_names(package: str) -> Iterator[str]:
    """Yield a package and its modules that do not start with `_`, without importing them.

    Raises:
        ImportError: there is no such package, or one that holds it cannot be imported.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}")
    if not package.startswith(_FOLDER):
        yield package
    for module in pkgutil.iter_modules(spec.submodule_search_locations or ()):
        if not module.name.startswith("_"):
            yield f"{package}.{module.name}"


def shown(module: str) -> str:
    """Return a module as users know it: one of a folder by the path of its file."""
    top, _, name = module.partition(".")
    return str(Path(_roots(top)[0], f"{name}.py")) if top.startswith(_FOLDER) else module


def digest(module: str) -> str:
    """Return a digest of a module's source; empty if it has none."""
    file = _source(module)
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file is not None else ""


def _source(module: str) -> Path | None:
    top, *rest = module.split(".")
    for root in _roots(top):
        base = Path(root, *rest)
        for file in (base / "__init__.py", base.with_suffix(".py")):
            if file.is_file():
                return file
    return None


@cache
def _roots(top: str) -> tuple[str, ...]:
    # The folders of a package, or where a module without its suffix lies.
    spec = importlib.util.find_spec(top)
    if spec is None:
        return ()
    if spec.submodule_search_locations is None:
        return (str(Path(spec.origin or "").with_suffix("")),)
    return tuple(spec.submodule_search_locations)
