"""`workbench bench sentence-reasoning`: a cached batch against the published procedure."""

from collections.abc import Mapping
from typing import Any

import click

from app.cli.output import console, say, show_table, write_json
from app.cli.progress_bar import ProgressBar
from app.cli.run_flags import DEVICE

_FACTS = ("model", "device", "dtype", "threads", "task", "problems", "repeats", "clock")


@click.command(
    name="sentence-reasoning",
    epilog="\b\nExample:\n  workbench bench sentence-reasoning --json\n"
    "  workbench bench sentence-reasoning --model FOLDER --checkpoint FOLDER --task prosqa",
)
@click.option("--model", help="Model with a sentence pipeline; default: the one that ships.")
@click.option("--checkpoint", default="", help="Folder of the pipeline; default: the model's own.")
@click.option("--task", help="Task; by default the shipped pipeline's.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=64, show_default=True, help="Problems at once."
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="How often each way is timed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sentence_reasoning(as_json: bool, device: str | None, **asked: Any) -> None:
    """Compare sentence reasoning in cached batches with the published procedure.

    Published: one problem at a time, no cache, everything run again at every step and for every
    token written. The exit code is 1 when the claim does not hold.
    """
    from workbench.runs.bench.sentences import SentenceBench, bench_sentences

    given = {name: value for name, value in asked.items() if value is not None}
    with ProgressBar() as progress:
        bench = SentenceBench(device=device or "auto", **given)
        found = bench_sentences(bench, progress=progress)
    if as_json:
        write_json(found)
    else:
        _draw(found)
    if not all(bar["passed"] for bar in found["bars"]):
        say("not every claim holds here", style="red")
        raise click.exceptions.Exit(1)


sentence_reasoning.params.append(DEVICE)


def _draw(found: Mapping[str, Any]) -> None:
    from rich.text import Text

    from workbench.result.tables import Column, Table

    told = " · ".join(f"{name} {found[name]}" for name in _FACTS)
    console().print(Text(told, style="dim"))
    columns = {
        "ms_per_problem": Column("ms"),
        "times_faster": Column(
            help="Than as published.", low="times_faster_low", high="times_faster_high"
        ),
        "same_answers": Column("proportion", "Answers that are those of the published way."),
    }
    show_table(Table.from_rows(found["ways"], columns), title="ways", wrap=True)
    show_table(Table.from_rows(found["bars"]), title="claims", wrap=True)
