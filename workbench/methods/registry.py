"""Name to class: how plugins are declared, found and listed."""

import importlib
import inspect
import logging
import pkgutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, TypeVar

from workbench.errors import PluginError, UnknownName
from workbench.options import OptionInfo, describe

log = logging.getLogger(__name__)

GROUP = "workbench.plugins"
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
class Plugin:
    """One registered recipe: its kind, name, class and the paper it comes from."""

    kind: str
    name: str
    recipe: type
    source: str = ""

    @property
    def summary(self) -> str:
        """The first line of the docstring, as every front end shows it."""
        return (inspect.getdoc(self.recipe) or "").split("\n", 1)[0]

    @property
    def description(self) -> str:
        """The whole docstring."""
        return inspect.getdoc(self.recipe) or ""

    @property
    def options(self) -> tuple[OptionInfo, ...]:
        """The options in the order they are written."""
        return describe(self.recipe)


@dataclass(frozen=True, kw_only=True)
class LoadFailure:
    """A plugin package or module that could not be loaded, and why."""

    where: str
    reason: str


_plugins: dict[tuple[str, str], Plugin] = {}
_failures: list[LoadFailure] = []
_loaded: set[str] = set()
_loading = threading.RLock()


def register(kind: str, name: str, *, source: str = "") -> Callable[[ClassT], ClassT]:
    """Return a decorator that registers a recipe class under a kind and a name.

    Raises:
        PluginError: the kind is unknown, the name is taken, or the class has no docstring.
    """
    if kind not in KINDS:
        raise PluginError(f"plugin kind {kind!r} is not known; expected one of {', '.join(KINDS)}")

    def add(recipe: ClassT) -> ClassT:
        taken = _plugins.get((kind, name))
        if taken is not None and taken.recipe.__module__ != recipe.__module__:
            raise PluginError(
                f"{kind} {name!r} of {recipe.__module__} is already registered by "
                f"{taken.recipe.__module__}",
                hint="give it another name, or uninstall one of the two packages",
            )
        if not recipe.__doc__:
            raise PluginError(f"{kind} {name!r} has no docstring; its first line is shown to users")
        _plugins[kind, name] = Plugin(kind=kind, name=name, recipe=recipe, source=source)
        return recipe

    return add


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
    """Import the modules of every package that the entry points name, each once.

    A thread that comes while another imports them waits for it.
    """
    with _loading:
        for entry in entry_points(group=GROUP):
            if entry.value not in _loaded:
                _loaded.add(entry.value)
                _load_package(entry.value)


def _load_package(name: str) -> None:
    package = _import(name)
    for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
        if not module.name.startswith("_"):
            _import(f"{name}.{module.name}")


def _import(name: str) -> Any:
    try:
        return _imported(name)
    except Exception as error:
        log.warning("plugin module %s was skipped: %s", name, error)
        _failures.append(LoadFailure(where=name, reason=f"{type(error).__name__}: {error}"))
        return None


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        # Lazy libraries hand out half of themselves while another thread imports them.
        return importlib.import_module(name)
