"""`workbench batch`: a plan of several probes over many rows, resumable at any moment."""

from typing import TYPE_CHECKING, Any

import click

from app.cli.door import FAILURE
from app.cli.output import console, say, show_table, write_json
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import STORE

if TYPE_CHECKING:
    from workbench.batch.run import BatchDone


@click.command(
    epilog="\b\nExample:\n  workbench batch plan.toml --dry-run\n  workbench batch plan.toml\n"
    "  workbench batch plan.toml --resume"
)
@click.argument("plan", metavar="SPEC.toml", type=click.Path(dir_okay=False))
@click.option("--resume", is_flag=True, help="Check what is there and go on.")
@click.option("--dry-run", is_flag=True, help="Print rows, tokens, memory, disk and time only.")
@click.option(
    "--executor",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where shards are computed: this process, or the workers of a Ray cluster.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Ray workers.  [default: 1]")
@click.option("--address", help="Ray cluster to use.  [default: one of this machine]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    plan: str, resume: bool, dry_run: bool, as_json: bool, store: str | None, **where: Any
) -> None:
    """Run several probes over a file of rows, with one forward pass for all.

    Work is kept shard by shard: killed at any moment, --resume goes on and gives the same
    results. Rows that cannot be used are named in quarantine.jsonl. The exit code is 1 when
    there were any, or when a probe failed.
    """
    from pathlib import Path

    from workbench.batch.plan import read_plan
    from workbench.batch.run import run_batch
    from workbench.batch.session import Reporter
    from workbench.runs.store import Store

    found, executor = read_plan(Path(plan)), _executor(**where)
    if dry_run:
        _foretell(found, as_json=as_json)
        return
    with ProgressBar() as progress:
        reporter = Reporter(progress=progress, pace=lambda pace: say(str(pace)), say=say)
        done = run_batch(
            found, store=Store(store), resume=resume, executor=executor, reporter=reporter
        )
    if as_json:
        write_json(done.as_dict())
    else:
        _draw(done)
    failed = [run for run in done.runs if run.status == "failed"]
    for run in failed:
        say(f"{run.run_id}: {run.failure.message if run.failure else ''}", style="red")
    if done.n_bad:
        plural = "" if done.n_bad == 1 else "s"
        say(f"{done.n_bad} row{plural} could not be used: {done.folder / 'quarantine.jsonl'}")
    if done.n_bad or failed:
        raise click.exceptions.Exit(FAILURE)


command.params.append(STORE)


def _executor(executor: str, workers: int | None, address: str | None) -> Any:
    if executor == "ray":
        from workbench.batch.on_ray import OnRay

        return OnRay(workers=workers or 1, address=address or "")
    if workers or address:
        raise click.UsageError("--workers and --address go with --executor ray")
    return None


def _foretell(plan: Any, *, as_json: bool) -> None:
    from workbench.batch.forecast import forecast
    from workbench.result.tables import Table

    with ProgressBar() as progress:
        found = forecast(plan, progress=progress)
    if as_json:
        write_json(found)
        return
    assumes = found.pop("assumes")
    rows = [{"quantity": name, "value": f"{value}"} for name, value in found.items()]
    show_table(Table.from_rows(rows), title=f"dry run of {plan.name}", most_rows=len(rows))
    say(f"assumes that {assumes}")


def _draw(done: "BatchDone") -> None:
    from rich.text import Text

    from app.cli.escaping import visible
    from workbench.result.tables import Table

    facts = done.as_dict()
    rows = [{key: row[key] for key in ("run_id", "status", "summary")} for row in facts["runs"]]
    show_table(Table.from_rows(rows), title="runs", wrap=True)
    names = ("rows", "bad_rows", "tokens", "shards", "shards_computed", "seconds")
    told = " · ".join(f"{name.replace('_', ' ')} {facts[name]}" for name in names)
    console().print(Text(told, style="dim"))
    console().print(Text(visible(str(done.folder)), style="dim"))
