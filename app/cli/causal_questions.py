"""`workbench causal questions`: drawn questions as a task of lm-evaluation-harness."""

from pathlib import Path

import click

from app.cli.output import say
from workbench.errors import InputError


@click.command(
    "questions",
    epilog="\b\nExample:\n  workbench causal questions corr2cause?nodes=5 --limit 300 -o questions",
)
@click.argument("task", metavar="TASK")
@click.option("--limit", type=click.IntRange(min=1), default=100, help="How many to draw.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of the questions.")
@click.option("-o", "--output", metavar="FOLDER", required=True, help="Where to write.")
def questions_command(task: str, limit: int, seed: int, output: str) -> None:
    """Write the choice questions of a task as a multiple-choice task file with its data.

    They are those that `workbench probe run choices` asks with the same seed.
    """
    from workbench.methods.context import Context
    from workbench.sampling.address import TaskAddress
    from workbench.sampling.harness_files import write_harness
    from workbench.sampling.items import items_of
    from workbench.sampling.task import open_task

    items = items_of(open_task(task), limit, Context(seed=seed).stream("problems"))
    if not items:
        raise InputError(f"task {task} gave no question")
    path = write_harness(items, Path(output), TaskAddress.parse(task).name)
    say(f"wrote {len(items)} questions to {path}")
