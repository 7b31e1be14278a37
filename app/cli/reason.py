"""`workbench reason`: solve the problems of a task with a reasoner, or with several."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from app.cli import problems
from app.cli.output import Form, say, say_error, takes_form, write_csv, write_json, write_rows
from app.cli.plugin_commands import list_command, show_command
from app.cli.plugin_pages import plugin_rows
from app.cli.run_flags import MODEL, STORE
from app.cli.run_plugin import RunPlugin, execute_spec
from workbench.errors import InputError
from workbench.runs.spec import DataRef, ModelRef, RunSpec

if TYPE_CHECKING:
    from workbench.result.result import Result
    from workbench.runs.run import Run


@click.group(
    epilog="\b\nExample:\n  workbench reason run cot --task blocksworld?blocks=4 --limit 20"
)
def command() -> None:
    """Solve problems step by step: in words, in sentences, or in hidden states."""


command.add_command(
    RunPlugin(
        "reasoner",
        help="Solve the problems of a task with one reasoner and keep the chains.",
        epilog="\b\nExample:\n  workbench reason run cot --task prosqa --json",
    )
)
command.add_command(list_command("reasoner", "reason"))
command.add_command(show_command("reasoner", "reason show cot", "what it does"))


@command.command(epilog="\b\nExample:\n  workbench reason tasks --json")
@takes_form
def tasks(form: Form) -> None:
    """List the tasks with one sentence each, and the options their address takes."""
    from workbench.methods.registry import find

    rows = [
        {**row, "options": ", ".join(o.name for o in find("task", str(row["name"])).options)}
        for row in plugin_rows("task")
    ]
    write_rows(rows, form, empty="no task is installed", narrow=("name", "summary"))


_COMPARE_FLAGS = (
    click.Option(["--task"], required=True, help="NAME, NAME:FILE or NAME?option=value."),
    click.Option(["--limit"], type=click.IntRange(min=1), help="Solve so many problems."),
    click.Option(["--seed"], type=click.IntRange(min=0), default=0, help="Seed of everything."),
    click.Option(
        ["--batch-tokens"],
        type=click.IntRange(min=1),
        default=RunSpec.batch_tokens,
        help="Prompt tokens of one batch, padding included.",
    ),
    *MODEL,
    STORE,
    click.Option(["--fresh"], is_flag=True, help="Run again what the store has."),
    click.Option(["as_json", "--json"], is_flag=True, help="Print JSON."),
    click.Option(["as_csv", "--csv"], is_flag=True, help="Print the comparison as CSV."),
)


def compare(names: Sequence[str], **flags: Any) -> None:
    """Solve the same problems with several reasoners and put them side by side.

    Options are written behind a name: sentence-continuous?ground_every=2. A reasoner that does
    not apply to the model is left out and said so; the exit code is then 1.
    """
    from workbench.runs.chain_compare import compare_chains, reasoner_address
    from workbench.runs.drivers import opened

    if flags["as_json"] and flags["as_csv"]:
        raise InputError("--json and --csv were both given", hint="choose one")
    specs = [opened(_spec(*reasoner_address(name), flags)).spec for name in names]
    runs = {name: execute_spec(s, flags) for name, s in zip(names, specs, strict=True)}
    done = {name: run for name, run in runs.items() if run.status == "complete"}
    left_out = [_failure(run) for name, run in runs.items() if name not in done]
    if not done:
        raise left_out[0]
    result = compare_chains(list(done.values()), list(done))
    _show_comparison(result, flags)
    for error in left_out:
        say_error(error, word="left out")
    if left_out:
        raise click.exceptions.Exit(1)


def _show_comparison(result: "Result", flags: Mapping[str, Any]) -> None:
    if flags["as_json"]:
        write_json(result.as_dict())
    elif flags["as_csv"]:
        table = result.table("comparison")
        write_csv(table.rows(), [str(name) for name in table.frame.columns])
    else:
        from app.cli.report import show_result

        show_result(result)
        return
    for note in result.notes:
        say(f"warning: {note.text}", style="yellow")


def _failure(run: "Run") -> InputError:
    reason = run.failure.message if run.failure else run.status
    return InputError(f"{run.spec.name}: {reason}", hint=run.failure.hint if run.failure else "")


def _spec(name: str, options: Mapping[str, Any], flags: Mapping[str, Any]) -> RunSpec:
    given = {"name": flags["model"], **{k: flags[k] for k in ("backend", "device", "dtype")}}
    return RunSpec(
        kind="reasoner",
        name=name,
        options=dict(options),
        model=replace(ModelRef(), **{k: v for k, v in given.items() if v is not None}),
        data=DataRef(task=flags["task"], limit=flags["limit"]),
        seed=flags["seed"],
        batch_tokens=flags["batch_tokens"],
    )


command.add_command(
    click.Command(
        "compare",
        params=[
            click.Argument(["names"], nargs=-1, required=True, metavar="NAME..."),
            *_COMPARE_FLAGS,
        ],
        callback=compare,
        help=compare.__doc__,
        epilog="\b\nExample:\n  workbench reason compare no-cot cot --task prosqa --json",
    )
)
command.add_command(problems.command)
