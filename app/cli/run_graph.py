"""Commands about graphs: fit one to a table, ask it, try to break it."""

from collections.abc import Callable
from typing import Any

import click

from app.cli.option_flags import flags_of, given
from app.cli.run_plugin import OUTPUT_FLAGS, run_and_show
from workbench.methods.registry import Plugin, find, plugins
from workbench.runs.spec import DataRef, RunSpec

SEED = click.Option(
    ["--seed"], type=click.IntRange(min=0), default=0, help="Seed of everything random."
)
TABLE = click.Option(
    ["--table", "--data", "table"],
    metavar="FILE",
    help="CSV, TSV, JSON or Parquet: one row per model or observation, numbers in columns.  "
    "[default: the table that ships with the package]",
)
RUN = click.Argument(["run_id"], metavar="RUN")


class GraphCommands(click.Group):
    """One command per plugin of a kind: `fit NAME`, `ask NAME RUN`, `refute NAME RUN`."""

    def __init__(self, name: str, kind: str, **attrs: Any) -> None:
        """Serve the plugins of that kind under that word."""
        super().__init__(name=name, subcommand_metavar="NAME [FLAGS]...", **attrs)
        self.kind = kind

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the plugins."""
        return [plugin.name for plugin in plugins(self.kind)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of one plugin."""
        return graph_command(find(self.kind, cmd_name), word=str(self.name))


def graph_command(plugin: Plugin, *, word: str, name: str = "") -> click.Command:
    """Make the command that runs one discovery, question or refuter."""
    about = _about(plugin)
    argument = "" if plugin.kind == "discovery" else " RUN"
    return click.Command(
        name or plugin.name,
        params=[
            about,
            *flags_of(plugin.options, taken=taken_names(plugin)),
            SEED,
            *OUTPUT_FLAGS,
        ],
        callback=_runner(plugin),
        help=plugin.description.replace("\n\n", "\n\n\b\n"),
        short_help=plugin.summary,
        epilog=f"\b\nExample:\n  workbench causal {word} "
        f"{'' if name else plugin.name}{argument} --json".replace("  --", " --"),
    )


def taken_names(plugin: Plugin) -> set[str]:
    """Return the flag names that the options of a plugin cannot have."""
    common = (_about(plugin), SEED, *OUTPUT_FLAGS)
    return {opt.removeprefix("--") for param in common for opt in param.opts} | {"help"}


def _about(plugin: Plugin) -> click.Parameter:
    return TABLE if plugin.kind == "discovery" else RUN


def _runner(plugin: Plugin) -> Callable[..., None]:
    def call(**flags: Any) -> None:
        spec = RunSpec(
            kind=plugin.kind,
            name=plugin.name,
            options=given(plugin.options, flags),
            model=None,
            data=DataRef(path=flags.get("table") or ""),
            graph=flags.get("run_id") or "",
            seed=flags["seed"],
        )
        run_and_show(spec, flags)

    return call
