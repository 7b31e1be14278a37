"""`workbench probe`: list the probes, explain one, run one."""

import click

from app.cli.plugin_commands import list_command, show_command
from app.cli.run_plugin import RunPlugin


@click.group(epilog="\b\nExample:\n  workbench probe run isotropy --text 'Why is the sky blue?'")
def command() -> None:
    """Ask a question of what happens inside a model."""


command.add_command(list_command("probe", "probe"))
command.add_command(show_command("probe", "probe show isotropy", "what it measures"))
command.add_command(
    RunPlugin(
        "probe",
        help="Run a probe and keep the result.",
        epilog="\b\nExample:\n  workbench probe run isotropy --data texts.jsonl --field text --json"
        "\n\nWithout --text, --data or --activations, the prompts that ship with the package are"
        " used.",
    )
)
