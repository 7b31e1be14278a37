"""Write the reference pages that come from the program: plugins, commands, errors.

Run as `python docs/build_pages.py [FOLDER]`; the pages are plain Markdown.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from app.cli.main import cli
from workbench import errors
from workbench.errors import WorkbenchError
from workbench.methods.registry import KINDS, Plugin, plugins
from workbench.options import OptionInfo

HERE = Path(__file__).parent


def main(folder: Path) -> None:
    """Write every page below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plugins.md").write_text(plugin_index(), encoding="utf-8")
    for plugin in plugins():
        page = folder / plugin.kind / f"{plugin.name}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(plugin_page(plugin), encoding="utf-8")
    (folder / "commands.md").write_text(command_index(), encoding="utf-8")
    (folder / "command").mkdir(exist_ok=True)
    for name, context in commands():
        page = folder / "command" / f"{name.replace(' ', '-')}.md"
        page.write_text(command_page(name, context), encoding="utf-8")
    (folder / "errors.md").write_text(error_page(), encoding="utf-8")


def plugin_index() -> str:
    """Return the list of plugins by kind."""
    lines = ["# Plugins", "", "Every method is a plugin; each page is written from its class."]
    for kind in KINDS:
        found = plugins(kind)
        if found:
            lines += ["", f"## {kind.capitalize()}", "", "| name | what it does |", "| --- | --- |"]
            lines += [f"| [{p.name}]({kind}/{p.name}.md) | {_cell(p.summary)} |" for p in found]
    return "\n".join(lines) + "\n"


def plugin_page(plugin: Plugin) -> str:
    """Return one plugin's page: words, source, options, how to run it."""
    lines = [f"# {plugin.name}", "", plugin.description, ""]
    if plugin.source:
        lines += [f"**Paper:** {plugin.source}", ""]
    if plugin.options:
        lines += ["## Options", "", "| option | type | default | meaning |", "| --- " * 4 + "|"]
        lines += [_option_row(info) for info in plugin.options]
        lines.append("")
    if plugin.kind == "probe":
        lines += ["## Run it", "", "```", f"workbench probe run {plugin.name}", "```", ""]
        lines += ["```python", "import workbench as wb", ""]
        lines += [f'wb.execute(wb.RunSpec(name="{plugin.name}", data=wb.DataRef(texts=("…",))))']
        lines += ["```", ""]
    return "\n".join(lines)


def _option_row(info: OptionInfo) -> str:
    kind = " \\| ".join(map(str, info.choices)) or info.type.__name__.lower()
    bounds = [f"≥ {info.low:g}" if info.low is not None else ""]
    bounds += [f"≤ {info.high:g}" if info.high is not None else "", info.unit]
    limits = ", ".join(filter(None, bounds))
    default = info.default
    if isinstance(default, tuple):
        default = ", ".join(map(str, default))
    meaning = _cell(info.help) + (f" ({limits})" if limits else "")
    return f"| `--{info.flag}` | {kind} | {_cell(str(default))} | {meaning} |"


def commands() -> Iterator[tuple[str, click.Context]]:
    """Yield every command by its full name, groups before their members."""
    yield from _below("workbench", click.Context(cli, info_name="workbench"))


def _below(name: str, context: click.Context) -> Iterator[tuple[str, click.Context]]:
    command = context.command
    if name != "workbench":
        yield name.removeprefix("workbench "), context
    if isinstance(command, click.Group):
        for member in command.list_commands(context):
            found = command.get_command(context, member)
            if found is not None:
                inner = click.Context(found, parent=context, info_name=member)
                yield from _below(f"{name} {member}", inner)


def command_index() -> str:
    """Return the list of commands."""
    lines = ["# Command line", "", "| command | what it does |", "| --- | --- |"]
    for name, context in commands():
        link = f"command/{name.replace(' ', '-')}.md"
        summary = context.command.get_short_help_str(200)
        lines.append(f"| [`workbench {name}`]({link}) | {_cell(summary)} |")
    return "\n".join(lines) + "\n"


def command_page(name: str, context: click.Context) -> str:
    """Return one command's page: what `--help` prints."""
    return f"# workbench {name}\n\n```text\n{context.get_help()}\n```\n"


def error_page() -> str:
    """Return the page of error codes."""
    lines = ["# When something goes wrong", "", "Every error says what was given, what was "]
    lines[-1] += "expected and what to try next; its code leads here."
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, WorkbenchError):
            lines += ["", f"## {error.code} {{ #{error.code} }}", "", f"`{name}`: {error.__doc__}"]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "reference")
