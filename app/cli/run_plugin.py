"""Commands that run a plugin: its options become flags, its result is printed and kept."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from app.cli.door import FAILURE, USAGE, is_usage
from app.cli.option_flags import flags_of, given
from app.cli.output import say, say_error, write_csv, write_json
from app.cli.plugin_pages import paragraphs
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import SPEC_FLAGS, STORE, read_spec, spec_from_flags
from workbench.errors import InputError, NotStored, UnknownName, WorkbenchError
from workbench.methods.registry import Plugin, find, plugins
from workbench.runs.spec import RunSpec

if TYPE_CHECKING:
    from workbench.runs.run import Run

MOST_BAD_ROWS_SAID = 200

# What is typed before the name of a plugin to run it, by kind.
RUN_WORDS = {"probe": ("probe", "run"), "reasoner": ("reason", "run"), "recipe": ("train",)}
_EXAMPLES = {
    "probe": "--text 'The capital of France is'",
    "reasoner": "--task blocksworld --limit 20 --json",
    "recipe": "--preset tiny",
}

OUTPUT_FLAGS = (
    STORE,
    click.Option(["--fresh"], is_flag=True, help="Run again even if the store has the result."),
    click.Option(["as_json", "--json"], is_flag=True, help="Print the run as JSON."),
    click.Option(["csv_table", "--csv"], metavar="TABLE", help="Print one table as CSV."),
    click.Option(["as_toml", "--toml"], is_flag=True, help="Print the spec and stop."),
)


class RunPlugin(click.Group):
    """`run NAME`: one command per registered plugin of a kind, made from its options."""

    def __init__(self, kind: str, **attrs: Any) -> None:
        """Serve the plugins of that kind."""
        super().__init__(
            name=RUN_WORDS[kind][-1],
            invoke_without_command=True,
            callback=self._without_name,
            params=[
                click.Option(["--spec"], metavar="FILE", help="Run a spec written by --toml."),
                *OUTPUT_FLAGS,
            ],
            subcommand_metavar="NAME [FLAGS]...",
            **attrs,
        )
        self.kind = kind

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands beside the plugins, then the names of the plugins."""
        return [*super().list_commands(ctx), *(plugin.name for plugin in plugins(self.kind))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, made from its plugin where it stands for one."""
        return super().get_command(ctx, cmd_name) or run_command(find(self.kind, cmd_name))

    def _without_name(self, spec: str | None, **flags: Any) -> None:
        ctx = click.get_current_context()
        if ctx.invoked_subcommand is None:
            if spec is None:
                raise click.UsageError(f"which {self.kind}? give a NAME or --spec FILE", ctx)
            run_and_show(read_spec(spec), flags)
        elif spec is not None or any(flags.values()):
            raise click.UsageError("flags come after the NAME", ctx)


def run_command(plugin: Plugin) -> click.Command:
    """Make the command that runs one plugin."""
    common = (*SPEC_FLAGS, *OUTPUT_FLAGS)
    taken = {name.removeprefix("--") for option in common for name in option.opts} | {"help"}

    def call(**flags: Any) -> None:
        typed = given(plugin.options, flags)
        run_and_show(spec_from_flags(plugin, typed, flags), flags)

    return click.Command(
        plugin.name,
        params=[*flags_of(plugin.options, taken=taken), *common],
        callback=call,
        help=_escaped_help(plugin),
        short_help=plugin.summary,
        epilog=f"\b\nExample:\n  workbench {' '.join(RUN_WORDS[plugin.kind])} {plugin.name} "
        f"{_EXAMPLES.get(plugin.kind, '--json')}",
    )


def run_and_show(spec: RunSpec, flags: Mapping[str, Any]) -> None:
    """Run a spec and print what came out.

    Raises:
        click.exceptions.Exit: the run is not complete.
        WorkbenchError: the request cannot be met.
    """
    if flags["as_json"] and flags["csv_table"]:
        raise InputError("--json and --csv were both given", hint="choose one")
    if flags["as_toml"]:
        from workbench.runs.drivers import opened

        click.echo(opened(spec).spec.to_toml(), nl=False)
        return
    run = execute_spec(spec, flags)
    _show(run, flags)
    if run.status != "complete":
        code = run.failure.code if run.failure else ""
        raise click.exceptions.Exit(USAGE if is_usage(code) else FAILURE)


def execute_spec(spec: RunSpec, flags: Mapping[str, Any]) -> "Run":
    """Run a spec with the store and freshness that flags name, and say where it is kept.

    Raises:
        WorkbenchError: the request cannot be met, or the run could not be stored.
    """
    from workbench.runs.execute import execute
    from workbench.runs.store import Store

    store = Store(flags["store"])
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        with ProgressBar() as progress:
            run = execute(spec, store=store, progress=progress, fresh=flags["fresh"])
    except NotStored as error:
        _show(error.run, flags)
        raise
    if spec.kind == "recipe" and run.status == "complete":
        say(f"weights in {store.checkpoint(run.run_id)}")
    if run.provenance.get("started", "") < started:
        say(f"found in {store.folder}: {run.run_id} (--fresh runs it again)")
    else:
        say(f"kept in {store.folder}: workbench runs show {run.run_id}")
    return run


def _show(run: "Run", flags: Mapping[str, Any]) -> None:
    _say_bad_rows(run)
    as_data = flags["as_json"] or flags["csv_table"]
    if flags["as_json"]:
        write_json(run.as_dict())
    elif flags["csv_table"] and run.result is not None:
        tables = run.result.tables
        if flags["csv_table"] not in tables:
            known = ", ".join(tables) or "none"
            raise UnknownName(f"no table {flags['csv_table']!r}; the result has {known}")
        table = tables[flags["csv_table"]]
        write_csv(table.rows(), [str(name) for name in table.frame.columns])
    elif not flags["csv_table"]:
        from app.cli.report import show_run

        show_run(run)
    if as_data and run.result is not None:
        for note in run.result.notes:
            if note.level == "warning":
                say(f"warning: {note.text}", style="yellow")
    if run.failure is not None:
        say_error(
            WorkbenchError(run.failure.message, hint=run.failure.hint), word=f"run {run.status}"
        )


def _say_bad_rows(run: "Run") -> None:
    table = run.result.tables.get("bad_rows") if run.result else None
    rows = table.rows() if table is not None else []
    for row in rows[:MOST_BAD_ROWS_SAID]:
        say(f"{row['source']}: {row['reason']}", style="yellow")
    if len(rows) > MOST_BAD_ROWS_SAID:
        rest = len(rows) - MOST_BAD_ROWS_SAID
        say(f"and {rest} more: workbench runs show {run.run_id} --json, table bad_rows")


def _escaped_help(plugin: Plugin) -> str:
    # \b marks text that click is not to wrap again.
    told = [text for text in paragraphs(plugin.description) if not text.startswith("Raises:")]
    source = [f"Source: {plugin.source}"] if plugin.source else []
    return "\n\n".join(f"\b\n{text}" if "\n" in text else text for text in told + source)
