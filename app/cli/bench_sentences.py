"""`workbench bench sentence-reasoning`: a cached batch against the published procedure."""

from typing import Any

import click

from app.cli.bench_report import JSON, count, repeats, report
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
@count("--batch", 64, "Problems at once.")
@repeats(3)
@JSON
def sentence_reasoning(as_json: bool, device: str | None, **asked: Any) -> None:
    """Compare sentence reasoning in cached batches with the published procedure.

    Published: one problem at a time, no cache, everything run again at every step and for every
    token written. The exit code is 1 when the claim does not hold.
    """
    from workbench.result.tables import Column
    from workbench.runs.bench.sentences import SentenceBench, bench_sentences

    given = {name: value for name, value in asked.items() if value is not None}
    with ProgressBar() as progress:
        bench = SentenceBench(device=device or "auto", **given)
        found = bench_sentences(bench, progress=progress)
    report(
        found,
        _FACTS,
        "ways",
        as_json=as_json,
        columns={
            "ms_per_problem": Column("ms"),
            "times_faster": Column(
                help="Than as published.", low="times_faster_low", high="times_faster_high"
            ),
            "same_answers": Column("proportion", "Answers that are those of the published way."),
        },
    )


sentence_reasoning.params.append(DEVICE)
