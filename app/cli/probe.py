"""`workbench probe`: list the probes, explain one, run one."""

import click

from app.cli.output import Form, takes_form, write_json, write_rows
from app.cli.plugin_pages import describe_plugin, plugin_rows, show_plugin
from app.cli.run_plugin import RunPlugin


@click.group(epilog="\b\nExample:\n  workbench probe run isotropy --text 'Why is the sky blue?'")
def command() -> None:
    """Ask a question of what happens inside a model."""


@command.command("list", epilog="\b\nExample:\n  workbench probe list --json")
@takes_form
def list_probes(form: Form) -> None:
    """List the probes with one sentence each."""
    write_rows(
        plugin_rows("probe"), form, empty="no probe is installed", narrow=("name", "summary")
    )


@command.command(epilog="\b\nExample:\n  workbench probe show isotropy")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Explain one probe: what it measures, its options and its source."""
    if as_json:
        write_json(describe_plugin("probe", name))
    else:
        show_plugin("probe", name)


command.add_command(
    RunPlugin(
        "probe",
        help="Run a probe and keep the result.",
        epilog="\b\nExample:\n  workbench probe run isotropy --data texts.jsonl --field text --json"
        "\n\nWithout --text, --data or --activations, the prompts that ship with the package are"
        " used.",
    )
)
