"""`workbench demo`: a first look inside a real model."""

from typing import TYPE_CHECKING

import click

from app.cli.output import console, say
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import STORE
from workbench.runs.spec import SHIPPED_PROMPTS, DataRef, RunSpec

if TYPE_CHECKING:
    from workbench.runs.run import Run
    from workbench.runs.store import Store

PROBES = ("isotropy", "logit-lens")


@click.command(epilog="\b\nExample:\n  workbench demo --no-serve --store ./runs-store")
@click.option(
    "--serve/--no-serve", default=True, help="Serve the dashboard afterwards.  [default: on]"
)
def command(serve: bool, store: str | None) -> None:
    """Look inside the default model: run two probes on real prompts and report.

    Loads the model, runs isotropy and the logit lens over the prompts that ship with the
    package, keeps the runs, prints a report, then serves the dashboard on this machine.
    """
    from app.cli.report import show_run
    from workbench.runs.store import Store

    kept = Store(store)
    runs = [_run(name, kept) for name in PROBES]
    for run in runs:
        console().rule(characters="─")
        show_run(run, brief=True)
    _what_next(runs, kept)
    if any(run.status != "complete" for run in runs):
        raise click.exceptions.Exit(1)
    if serve:
        from app.cli.serve import serve as serve_dashboard

        raise click.exceptions.Exit(serve_dashboard(store=str(kept.folder.absolute())))


command.params.append(STORE)


def _run(name: str, store: "Store") -> "Run":
    from workbench.runs.execute import execute

    spec = RunSpec(name=name, data=DataRef(path=SHIPPED_PROMPTS))
    say(f"running {name} on {spec.model.name if spec.model else ''}")
    with ProgressBar() as progress:
        return execute(spec, store=store, progress=progress)


def _what_next(runs: "list[Run]", store: "Store") -> None:
    say(f"kept in {store.folder}; look again with")
    for run in runs:
        say(f"  workbench runs show {run.run_id} --store {store.folder}")
    say("  workbench probe list")
    say("  workbench app")
