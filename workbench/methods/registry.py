"""Name to class: how plugins are declared, found and listed."""

import dataclasses
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from workbench.config import settings
from workbench.errors import PluginError, UnknownName
from workbench.methods.plugin import DECLARED, LOADING, imported
from workbench.methods.plugin import Plugin as Plugin
from workbench.methods.plugin_index import PluginIndex
from workbench.methods.plugin_places import module_names, places, shown

log = logging.getLogger(__name__)

# Every kind with the command that lists its names.
LISTED_BY = {
    "probe": "workbench probe list",
    "reasoner": "workbench reason list",
    "discovery": "workbench causal list",
    "refuter": "workbench causal list",
    "question": "workbench causal list",
    "recipe": "workbench train list",
    "task": "workbench reason tasks",
}
KINDS = tuple(LISTED_BY)

ClassT = TypeVar("ClassT", bound=type)


@dataclass(frozen=True, kw_only=True)
class LoadFailure:
    """A plugin package or module that could not be loaded, and why."""

    where: str
    reason: str


_plugins: dict[tuple[str, str], Plugin] = {}
_failures: list[LoadFailure] = []
_loaded: set[str] = set()


def register(kind: str, name: str, *, source: str = "") -> Callable[[ClassT], ClassT]:
    """Return a decorator that registers a recipe class under a kind and a name.

    Raises:
        PluginError: the kind is unknown, the name is taken, or the class has no docstring.
    """
    if kind not in KINDS:
        raise PluginError(f"plugin kind {kind!r} is not known; expected one of {', '.join(KINDS)}")

    def add(recipe: ClassT) -> ClassT:
        if not recipe.__doc__:
            raise PluginError(f"{kind} {name!r} has no docstring; its first line is shown to users")
        plugin = Plugin.of(kind, name, recipe, source=source)
        _add(plugin)
        DECLARED[kind, name, recipe.__module__] = plugin
        return recipe

    return add


def _add(plugin: Plugin) -> None:
    taken = _plugins.get((plugin.kind, plugin.name))
    if taken is not None and taken.module != plugin.module:
        raise PluginError(
            f"{plugin.kind} {plugin.name!r} of {plugin.module} is already registered by "
            f"{taken.module}",
            hint="give it another name, or uninstall one of the two packages",
        )
    home = taken.home if taken is not None else plugin.home
    _plugins[plugin.kind, plugin.name] = dataclasses.replace(plugin, home=home)


def probe(name: str, *, source: str = "") -> Callable[[ClassT], ClassT]:
    """Register a probe."""
    return register("probe", name, source=source)


def reasoner(name: str, *, source: str = "") -> Callable[[ClassT], ClassT]:
    """Register a reasoner."""
    return register("reasoner", name, source=source)


def discovery(name: str, *, source: str = "") -> Callable[[ClassT], ClassT]:
    """Register a discovery."""
    return register("discovery", name, source=source)


def refuter(name: str, *, source: str = "") -> Callable[[ClassT], ClassT]:
    """Register a refuter."""
    return register("refuter", name, source=source)


def question(name: str, *, source: str = "") -> Callable[[ClassT], ClassT]:
    """Register a question about a fitted graph."""
    return register("question", name, source=source)


def recipe(name: str, *, source: str = "") -> Callable[[ClassT], ClassT]:
    """Register a training recipe."""
    return register("recipe", name, source=source)


def find(kind: str, name: str) -> Plugin:
    """Return a registered plugin.

    Raises:
        UnknownName: none of that kind carries the name.
    """
    load_plugins()
    if (kind, name) in _plugins:
        return _plugins[kind, name]
    if kind not in KINDS:
        raise UnknownName(f"no kind of plugin is called {kind!r}; known: {', '.join(KINDS)}")
    names = [plugin.name for plugin in plugins(kind)]
    close = get_close_matches(name, names, n=1)
    failed = f"; {len(_failures)} plugins failed to load" if _failures else ""
    raise UnknownName(
        f"no {kind} is called {name!r}; known: {', '.join(names) or 'none'}{failed}",
        hint=f"{close[0]}" if close else f"`{LISTED_BY[kind]}`",
    )


def plugins(kind: str | None = None) -> tuple[Plugin, ...]:
    """List registered plugins by name."""
    load_plugins()
    wanted = (p for p in _plugins.values() if kind is None or p.kind == kind)
    return tuple(sorted(wanted, key=lambda p: (p.kind, p.name)))


def failures() -> tuple[LoadFailure, ...]:
    """List what could not be loaded."""
    load_plugins()
    return tuple(_failures)


def load_plugins() -> None:
    """Learn of the plugins of every package and folder, each once.

    Modules that the index knows are not imported. A thread that comes while another loads them
    waits for it.
    """
    with LOADING:
        new = [name for name in places() if name not in _loaded]
        if not new:
            return
        index = PluginIndex()
        for folder in settings().plugins:
            if folder.exists() and not folder.is_dir():
                _failures.append(LoadFailure(where=str(folder), reason="it is not a folder"))
        for package in new:
            _loaded.add(package)
            _load_package(package, index)
        index.save()


def import_plugins() -> None:
    """Import the modules of all plugins, so that `failures` names every one that is broken."""
    known = {failure.where for failure in _failures}
    for home in sorted({plugin.home for plugin in plugins()}):
        if shown(home) not in known:
            with LOADING:
                _import(home)


def declared(packages: Iterable[str]) -> dict[str, tuple[Plugin, ...]]:
    """Import packages and return what each of their modules declares."""
    names = [name for package in packages for name in module_names(package)]
    for name in names:
        imported(name)
    return {name: tuple(p for p in DECLARED.values() if p.module == name) for name in names}


def _load_package(package: str, index: PluginIndex) -> None:
    names: tuple[str, ...] = ()
    with _skipping(package):
        names = tuple(module_names(package))
    for name in names:
        known = index.read(name)
        if known is None:
            _describe_module(name, names, index)
            continue
        for plugin in known:
            with _skipping(name):
                _add(plugin)


def _describe_module(name: str, names: tuple[str, ...], index: PluginIndex) -> None:
    before = set(_plugins)
    if not _import(name):
        return
    # A class may be written in a module beside those that are listed.
    mine = [
        dataclasses.replace(plugin, home=name)
        for key, plugin in _plugins.items()
        if plugin.home == name or (key not in before and plugin.home not in names)
    ]
    _plugins.update({(plugin.kind, plugin.name): plugin for plugin in mine})
    index.keep(name, mine)


def _import(name: str) -> bool:
    before = len(_failures)
    with _skipping(name):
        imported(name)
    return len(_failures) == before


@contextmanager
def _skipping(where: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        log.warning("plugin module %s was skipped: %s", shown(where), error)
        reason = f"{type(error).__name__}: {error}"
        _failures.append(LoadFailure(where=shown(where), reason=reason))
