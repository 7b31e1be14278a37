"""Lists and pages of plugins, for every kind."""

from typing import Any

from app.cli.escaping import visible
from app.cli.option_flags import help_text
from app.cli.output import console, say
from workbench.methods.registry import failures, find, plugins
from workbench.options import OptionInfo

_LONGEST_REASON = 160


def plugin_rows(kind: str) -> list[dict[str, Any]]:
    """Return one row per plugin of a kind, and say which could not be loaded."""
    rows = [
        {
            "name": p.name,
            "summary": p.summary,
            "takes": p.takes,
            "source": p.source,
            "package": p.package,
        }
        for p in plugins(kind)
    ]
    for failure in failures():
        reason = failure.reason.strip().split("\n", 1)[0][:_LONGEST_REASON]
        say(f"skipped {failure.where}: {reason}  (see `workbench doctor`)", style="yellow")
    return rows


def describe_plugin(kind: str, name: str) -> dict[str, Any]:
    """Return a plugin's words and options as plain values.

    Raises:
        UnknownName: there is no such plugin.
    """
    plugin = find(kind, name)
    return {
        "kind": kind,
        "name": plugin.name,
        "summary": plugin.summary,
        "description": plugin.description,
        "source": plugin.source,
        "takes": plugin.takes,
        "package": plugin.package,
        "options": [_option(info) for info in plugin.options],
    }


def show_plugin(kind: str, name: str) -> None:
    """Draw a plugin's page on standard output.

    Raises:
        UnknownName: there is no such plugin.
    """
    from rich.padding import Padding
    from rich.text import Text

    plugin = find(kind, name)
    out = console()
    out.print(Text(f"{kind} {name}", style="bold"))
    for paragraph in paragraphs(plugin.description):
        out.print(Text(f"{visible(paragraph, keep_newlines=True)}\n"))
    if plugin.source:
        out.print(Text(f"Source: {visible(plugin.source)}\n"))
    out.print(Text("Options" if plugin.options else "No options.", style="bold"))
    for info in plugin.options:
        flag = f"--{info.flag}/--no-{info.flag}" if info.type is bool else f"--{info.flag}"
        allowed = "|".join(map(str, info.choices)) or info.type.__name__.lower()
        out.print(Text(f"  {flag}  {'' if info.type is bool else allowed}".rstrip()))
        out.print(Padding(Text(visible(help_text(info))), (0, 0, 0, 6)))
    out.print(Text(f"\nExample:\n  workbench {kind} run {name}"))


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a docstring, each on one line unless it is indented or a list."""
    found = [block.strip("\n") for block in text.replace("\f", "").split("\n\n")]
    return [
        block if _keeps_lines(block) else " ".join(block.split())
        for block in found
        if block.strip()
    ]


def _keeps_lines(block: str) -> bool:
    return any(line.startswith((" ", "-", "*")) for line in block.split("\n"))


def _option(info: OptionInfo) -> dict[str, Any]:
    default = info.default
    if isinstance(default, tuple):
        default = [str(item) if not isinstance(item, int | float) else item for item in default]
    elif default is not None and not isinstance(default, bool | int | float | str):
        default = str(default)
    return {
        "name": info.name,
        "flag": f"--{info.flag}",
        "type": info.type.__name__.lower(),
        "choices": list(info.choices),
        "default": default,
        "low": info.low,
        "high": info.high,
        "unit": info.unit,
        "repeated": info.repeated,
        "help": info.help,
    }
