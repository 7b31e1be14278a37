"""`workbench causal scenario`: how hard questions are, by many models asked in many ways."""

from pathlib import Path

import click

from app.cli.output import say, write_json


@click.command("scenario", epilog="\b\nExample:\n  workbench causal scenario accuracies.csv")
@click.argument("file", metavar="FILE")
@click.option(
    "--guess", type=click.FloatRange(0, 100), default=50.0, show_default=True,
    help="Accuracy of a guess in percent, where the file gives none.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def scenario_command(file: str, guess: float, as_json: bool) -> None:
    """Tell how hard tasks are to understand and to solve, and how far prompts move models.

    FILE is a CSV with a row for each model and prompt: model, prompt, accuracy in percent, and
    where known task, guess and access (limited or open).
    """
    from causal.worlds.scenario import scenarios

    found = scenarios(Path(file), guess=guess)
    if as_json:
        write_json(found.as_dict())
        return
    from app.cli.report import show_result

    left_out = show_result(found)
    if left_out:
        say(f"not shown: {', '.join(left_out)}; --json prints all")
