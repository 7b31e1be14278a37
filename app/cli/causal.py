"""`workbench causal`: graphs of what causes what in a table of scores."""

from pathlib import Path

import click

from app.cli.causal_audit import audit_command
from app.cli.causal_questions import questions_command
from app.cli.causal_scenario import scenario_command
from app.cli.output import Form, say, takes_form, write_rows
from app.cli.plugin_pages import plugin_rows
from app.cli.run_flags import STORE
from app.cli.run_graph import GraphCommands, graph_command
from workbench.errors import InputError, StoreError
from workbench.methods.registry import find

FORMATS = ("json", "graphml", "dot")
SINGLE = {
    "compare": ("discovery", "side-by-side"),
    "simulate": ("discovery", "recovery"),
    "place": ("question", "place"),
}


class Causal(click.Group):
    """The group; commands that stand for one plugin are made when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names."""
        return [*super().list_commands(ctx), *SINGLE]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, made from its plugin where it stands for one."""
        if cmd_name in SINGLE:
            kind, name = SINGLE[cmd_name]
            return graph_command(find(kind, name), word=cmd_name, name=cmd_name)
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=Causal, epilog="\b\nExample:\n  workbench causal fit hierarchical --table scores.csv --json"
)
def command() -> None:
    """Fit graphs to tables of scores, ask them, and try to break them."""


command.add_command(
    GraphCommands(
        "fit",
        "discovery",
        help="Fit a graph to a table of scores and keep it.",
        epilog="\b\nExample:\n  workbench causal fit hierarchical --json",
    )
)
command.add_command(
    GraphCommands(
        "ask",
        "question",
        help="Ask a stored graph what an intervention would do.",
        epilog="\b\nExample:\n  workbench causal ask what-if RUN --json",
    )
)
command.add_command(
    GraphCommands(
        "refute",
        "refuter",
        help="Try to break a stored graph.",
        epilog="\b\nExample:\n  workbench causal refute placebo-domains RUN --json",
    )
)


@command.command("list", epilog="\b\nExample:\n  workbench causal list --json")
@takes_form
def list_methods(form: Form) -> None:
    """List discoveries, questions and refuters with one sentence each."""
    rows = [
        {"kind": kind, **row}
        for kind in ("discovery", "question", "refuter")
        for row in plugin_rows(kind)
    ]
    write_rows(rows, form, empty="none is installed", narrow=("kind", "name", "summary"))


@command.command(epilog="\b\nExample:\n  workbench causal export RUN --format graphml -o graph.xml")
@click.argument("run_id", metavar="RUN")
@click.option("--format", "kind", type=click.Choice(FORMATS), default="json", help="File format.")
@click.option("-o", "--output", metavar="FILE", help="Where to write; standard output otherwise.")
def export(run_id: str, kind: str, output: str | None, store: str | None) -> None:
    """Write a stored graph as JSON, GraphML or DOT."""
    from workbench.result.graph_files import write_graph
    from workbench.runs.store import Store

    run = Store(store).get(run_id)
    if run.result is None or run.result.graph is None:
        raise InputError(f"run {run.run_id} holds no graph", hint="name a discovery run")
    text = write_graph(run.result.graph, kind)
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {output}: {error.strerror or error}") from error
    say(f"wrote {output}")


export.params.append(STORE)
command.add_command(audit_command)
command.add_command(questions_command)
command.add_command(scenario_command)
