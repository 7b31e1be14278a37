"""One plugin: its words and options, and the class behind them."""

import dataclasses
import importlib
import inspect
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import PluginError
from workbench.methods.plugin_places import shown
from workbench.options import OptionInfo, describe

LOADING = threading.RLock()


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """What is known of one registered recipe; its class is imported when it is asked for.

    `module` is where the class is written, `home` the module that registers it when imported,
    `takes` what a run of it is given: texts, labelled texts, a task, a table, a graph, nothing.
    """

    kind: str
    name: str
    module: str
    home: str
    source: str = ""
    description: str = ""
    takes: str = ""
    options: tuple[OptionInfo, ...] = ()
    loaded: type | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, kind: str, name: str, recipe: type, *, source: str = "") -> "Plugin":
        """Describe a class."""
        from workbench.methods.shapes import takes

        return cls(
            kind=kind,
            name=name,
            module=recipe.__module__,
            home=recipe.__module__,
            source=source,
            description=inspect.getdoc(recipe) or "",
            takes=takes(recipe),
            options=describe(recipe),
            loaded=recipe,
        )

    @property
    def recipe(self) -> type:
        """The class.

        Raises:
            PluginError: its module cannot be imported or no longer registers it.
        """
        return self.loaded or _declaration(self).recipe

    @property
    def summary(self) -> str:
        """The first line of the docstring, as every front end shows it."""
        return self.description.split("\n", 1)[0]

    @property
    def sources(self) -> set[str]:
        """The modules that its options are written in."""
        bases = self.recipe.__mro__
        return {self.module, *(c.__module__ for c in bases if dataclasses.is_dataclass(c))}

    @property
    def package(self) -> str:
        """The package it comes from, or the folder that holds its file."""
        where = shown(self.home)
        return where.partition(".")[0] if where == self.home else str(Path(where).parent)

    def as_dict(self) -> dict[str, Any]:
        """Return its words and options as plain values, which JSON can hold."""
        words = ("kind", "name", "module", "source", "description", "takes")
        options = [info.as_dict() for info in self.options]
        return {**{word: getattr(self, word) for word in words}, "options": options}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], home: str) -> "Plugin":
        """Read what `as_dict` wrote."""
        options = tuple(OptionInfo.from_dict(info) for info in values["options"])
        return cls(**{**values, "options": options, "home": home})


# What decorators declared, by kind, name and module.
DECLARED: dict[tuple[str, str, str], Plugin] = {}


def imported(name: str) -> Any:
    """Import a module."""
    try:
        return importlib.import_module(name)
    except ImportError:
        # Lazy libraries hand out half of themselves while another thread imports them.
        return importlib.import_module(name)


def _declaration(plugin: Plugin) -> Plugin:
    key = (plugin.kind, plugin.name, plugin.module)
    with LOADING:
        for module in (plugin.module, plugin.home):
            if key not in DECLARED:
                _imported_or_explained(plugin, module)
    if key not in DECLARED:
        raise PluginError(
            f"{plugin.home} no longer registers {plugin.kind} {plugin.name!r}",
            hint="start the program again",
        )
    return DECLARED[key]


def _imported_or_explained(plugin: Plugin, module: str) -> None:
    try:
        imported(module)
    except Exception as error:
        raise PluginError(
            f"{plugin.kind} {plugin.name!r} cannot be loaded: {type(error).__name__}: {error}",
            hint="`workbench doctor` names every plugin that is broken",
        ) from error
