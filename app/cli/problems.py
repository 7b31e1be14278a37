"""`workbench reason problems`: write the problems of a task, one object a line."""

import json
from typing import Any

import click

from app.cli.escaping import escaped_json


@click.command(
    "problems",
    epilog="\b\nExample:\n  workbench reason problems latent-class --limit 100 > rows.jsonl",
)
@click.argument("task")
@click.option("--limit", type=click.IntRange(min=1), default=20, help="How many problems.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Seed of what is drawn.")
def command(task: str, limit: int, seed: int) -> None:
    """Write the problems of a task as JSONL, with all that is known of each.

    A task that reads files reads what it wrote: hidden-markov:rows.jsonl.
    """
    from workbench.methods.contracts import Context
    from workbench.sampling.task import open_task

    draw = Context(seed=seed).stream("problems")
    for problem in open_task(task).problems(limit, draw):
        told: dict[str, Any] = {
            "id": problem.id,
            "question": problem.question,
            "answer": problem.answer,
        }
        if problem.steps:
            told["steps"] = list(problem.steps)
        click.echo(escaped_json(json.dumps({**told, **problem.fields}, default=str)))
