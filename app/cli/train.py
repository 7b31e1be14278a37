"""`workbench train`: make the small weights that probes and reasoners need."""

from app.cli.plugin_commands import list_command
from app.cli.run_plugin import RunPlugin

command = RunPlugin(
    "recipe",
    help="Train a checkpoint and keep it with its curves, scores and baseline.\n\n"
    "Stopped, the same command goes on where it was.",
    epilog="\b\nExample:\n  workbench train tuned-lens --preset cpu --data texts.jsonl",
)
command.add_command(list_command("recipe", "train"))
