"""`workbench runs`: list, open, export and remove what the store keeps."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.output import Form, say, takes_form, write_json, write_table
from workbench.errors import BadOption

if TYPE_CHECKING:
    from workbench.runs.store import Store

_store_flag = click.option(
    "--store", metavar="FOLDER", help="Where runs are kept.  [default: WORKBENCH_STORE, runs-store]"
)
_NARROW = ("run_id", "status", "model", "created", "summary")
_FORMATS = ("json", "csv", "parquet", "html", "zip")


@click.group(epilog="\b\nExample:\n  workbench runs list --filter status=complete")
def command() -> None:
    """Find, open, export and remove stored runs."""


@command.command("list", epilog="\b\nExample:\n  workbench runs list --filter name=isotropy --csv")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Keep equal runs; repeatable.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Show the newest only.")
@_store_flag
@takes_form
def list_runs(filters: Sequence[str], limit: int | None, store: str | None, form: Form) -> None:
    """List the stored runs, newest first."""
    from workbench.result.tables import Table

    kept = _open(store)
    table = kept.find(**_pairs(filters))
    if limit is not None:
        table = Table(table.frame.head(limit), table.columns)
    if form is Form.TABLE and len(table):
        times = [str(time).replace("T", " ")[:16] for time in table["created"]]
        table = Table(table.frame.assign(created=times), table.columns)
    write_table(table, form, empty=f"no such run in {kept.folder}", narrow=_NARROW)


@command.command(epilog="\b\nExample:\n  workbench runs show isotropy-1a2b3c --toml")
@click.argument("run")
@click.option("--table", "tables", multiple=True, help="Show this table whole; may be repeated.")
@click.option("--toml", "as_toml", is_flag=True, help="Print the spec that runs it again.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole run as JSON.")
@_store_flag
def show(run: str, tables: Sequence[str], as_toml: bool, as_json: bool, store: str | None) -> None:
    """Show one run; a unique beginning of its id is enough."""
    from app.cli.output import say_error
    from app.cli.report import show_run
    from workbench.errors import WorkbenchError

    found = _open(store).get(run)
    if as_toml:
        click.echo(found.spec.to_toml(), nl=False)
    elif as_json:
        write_json(found.as_dict())
    else:
        show_run(found, tables=tables)
        if found.failure is not None:
            problem = WorkbenchError(found.failure.message, hint=found.failure.hint)
            say_error(problem, word=f"run {found.status}")


@command.command(
    epilog="\b\nExample:\n  workbench runs export isotropy-1a2b3c --format html -o isotropy.html"
    "\n\nA run with several tables exports them to a folder as csv or parquet, or one of them "
    "with --table."
)
@click.argument("run")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="json",
    show_default=True,
    help="json, html and zip hold the whole run; csv and parquet its tables.",
)
@click.option("-o", "--output", metavar="PATH", help="File or folder.  [default: standard output]")
@click.option("--table", "name", help="The table to export as csv or parquet.")
@_store_flag
def export(run: str, form: str, output: str | None, name: str | None, store: str | None) -> None:
    """Write one run to files that other programs read."""
    from workbench.runs.export import exported

    kept = _open(store)
    files = exported(kept, kept.complete(run), form, table=name)
    if output is None:
        if len(files) > 1 or form in ("parquet", "zip"):
            what = f"{len(files)} files" if len(files) > 1 else "a binary file"
            raise BadOption(f"{form} makes {what}", hint="say where with -o PATH")
        click.echo(next(iter(files.values())).decode(), nl=False)
        return
    say(f"wrote {', '.join(map(str, _write(files, Path(output))))}")


@command.command("rm", epilog="\b\nExample:\n  workbench runs rm isotropy-1a2b3c")
@click.argument("runs", nargs=-1, required=True)
@_store_flag
def remove(runs: Sequence[str], store: str | None) -> None:
    """Remove runs for good; all ids are checked before the first is removed."""
    kept = _open(store)
    for run_id in [kept.complete(run) for run in runs]:
        say(f"removed {kept.remove(run_id)}")


@command.command(epilog="\b\nExample:\n  workbench runs watch gsm8k")
@click.argument("batch", default="")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--once", is_flag=True, help="Look once only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@_store_flag
def watch(batch: str, every: float, once: bool, as_json: bool, store: str | None) -> None:
    """Follow a batch that another process is computing, by default the latest.

    One line whenever a shard was finished, until the results are in the store.
    """
    import json
    import time
    from dataclasses import asdict

    from app.cli.escaping import visible
    from workbench.batch.monitor import BatchMonitor

    for sight in BatchMonitor.of(_open(store), batch).follow(time.time, lambda: time.sleep(every)):
        click.echo(json.dumps(asdict(sight)) if as_json else visible(str(sight)))
        if once:
            return


@command.command(epilog="\b\nExample:\n  workbench runs index --rebuild")
@click.option("--rebuild", is_flag=True, help="Write the index anew from the run folders.")
@_store_flag
def index(rebuild: bool, store: str | None) -> None:
    """Check the list of runs against the run folders, or rebuild it."""
    kept = _open(store)
    if rebuild:
        say(f"indexed {kept.index.rebuild()} runs in {kept.index.path}")
    table = kept.find()
    corrupt = [row["run_id"] for row in table.rows() if row["status"] == "corrupt"]
    say(f"{len(table)} runs, {len(corrupt)} corrupt")
    for run_id in corrupt:
        click.echo(run_id)


def _open(store: str | None) -> "Store":
    from workbench.runs.store import Store

    return Store(store)


def _pairs(filters: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in filters:
        name, equals, value = pair.partition("=")
        if not name or not equals or name in found:
            raise BadOption(
                f"--filter is {pair!r}; expected COLUMN=VALUE, each column once",
                hint="--filter status=complete",
            )
        found[name] = value
    return found


def _write(files: dict[str, bytes], target: Path) -> list[Path]:
    if len(files) == 1 and not target.is_dir():
        paths = {target: next(iter(files.values()))}
    else:
        target.mkdir(parents=True, exist_ok=True)
        paths = {target / name: data for name, data in files.items()}
    for path, data in paths.items():
        path.write_bytes(data)
    return list(paths)
