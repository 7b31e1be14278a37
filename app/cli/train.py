"""`workbench train`: make the small weights that probes and reasoners need."""

from app.cli.output import Form, takes_form, write_rows
from app.cli.plugin_pages import plugin_rows
from app.cli.run_plugin import RunPlugin

command = RunPlugin(
    "recipe",
    help="Train a checkpoint and keep it with its curves, scores and baseline.\n\n"
    "Stopped, the same command goes on where it was.",
    epilog="\b\nExample:\n  workbench train tuned-lens --preset cpu --data texts.jsonl",
)


@command.command("list", epilog="\b\nExample:\n  workbench train list --json")
@takes_form
def list_recipes(form: Form) -> None:
    """List the recipes with one sentence each."""
    write_rows(
        plugin_rows("recipe"), form, empty="no recipe is installed", narrow=("name", "summary")
    )
