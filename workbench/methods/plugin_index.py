"""What is known of plugins without importing them: their words and options, by module.

The index of our own packages ships as a file; run `make index` after a change to the words or
options of a plugin. A module that it does not name is imported once; what it declares is kept
under the cache for as long as its source stays.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.config import settings
from workbench.errors import WorkbenchError
from workbench.methods.plugin import Plugin
from workbench.methods.plugin_places import digest

SHIPPED = Path(__file__).parent.parent / "data" / "plugins.json"
_UNREADABLE = (LookupError, TypeError, AttributeError, ImportError, WorkbenchError)


class PluginIndex:
    """The described plugins of each module, valid while the sources they came from stay."""

    def __init__(self) -> None:
        """Read what ships and what was kept; a file that cannot be read counts as empty."""
        self._kept = settings().cache / "plugins.json"
        shipped, kept = _read(SHIPPED), _read(self._kept)
        self._shipped = shipped.get("modules", {})
        # Options may be inherited from a method of ours, so another release asks anew.
        self._stamp = hashlib.sha256(json.dumps(shipped).encode()).hexdigest()[:16]
        self._own: dict[str, Any] = kept["modules"] if kept.get("stamp") == self._stamp else {}
        self._changed = False

    def read(self, module: str) -> tuple[Plugin, ...] | None:
        """Return the plugins of a module as they were described; None if that is not known."""
        # An entry that cannot be read was damaged or names a type that is gone.
        with contextlib.suppress(*_UNREADABLE):
            if module in self._shipped:
                return _plugins(self._shipped[module], module)
            entry = self._own[module]
            if all(was and digest(name) == was for name, was in entry["sources"].items()):
                return _plugins(entry["plugins"], module)
        return None

    def keep(self, module: str, plugins: Sequence[Plugin]) -> None:
        """Note the plugins of a module that was imported."""
        sources = {module}.union(*(plugin.sources for plugin in plugins))
        self._own[module] = {
            "sources": {name: digest(name) for name in sorted(sources)},
            "plugins": [plugin.as_dict() for plugin in plugins],
        }
        self._changed = True

    def save(self) -> None:
        """Write what was noted; a cache that cannot be written is done without."""
        if self._changed:
            with contextlib.suppress(OSError):
                _write(self._kept, {"stamp": self._stamp, "modules": self._own})


def write_shipped(modules: Mapping[str, Sequence[Plugin]]) -> None:
    """Write the index that ships with the package."""
    told = {name: [plugin.as_dict() for plugin in found] for name, found in modules.items()}
    _write(SHIPPED, {"modules": told})


def _plugins(entries: Sequence[Mapping[str, Any]], module: str) -> tuple[Plugin, ...]:
    return tuple(Plugin.from_dict(entry, home=module) for entry in entries)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)
