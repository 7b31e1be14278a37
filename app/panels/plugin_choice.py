"""The choice of one plugin among those of a kind."""

from collections.abc import Callable, Sequence
from typing import Any

from workbench.methods.registry import Plugin


def choose(place: Any, label: str, found: Sequence[Plugin], first: str, **more: Any) -> Plugin:
    """Draw the choice in a place of the page, `first` chosen at first if it is there."""
    names = [plugin.name for plugin in found]
    index = names.index(first) if first in names else 0
    name = place.selectbox(label, names, index=index, **{"format_func": named(found), **more})
    return found[names.index(name)]


def named(found: Sequence[Plugin]) -> Callable[[str], str]:
    """Return what puts the summary of a plugin behind its name."""
    summaries = {plugin.name: plugin.summary for plugin in found}
    return lambda name: f"{name} — {summaries[name]}"
