"""The commands that every group of plugins of one kind has."""

import click

from app.cli.output import Form, takes_form, write_json, write_rows
from app.cli.plugin_pages import describe_plugin, plugin_rows, show_plugin


def list_command(kind: str, group: str) -> click.Command:
    """Return the command of a group that lists the plugins of a kind."""
    epilog = f"\b\nExample:\n  workbench {group} list --json"

    @click.command("list", help=f"List the {kind}s with one sentence each.", epilog=epilog)
    @takes_form
    def list_plugins(form: Form) -> None:
        empty = f"no {kind} is installed"
        write_rows(plugin_rows(kind), form, empty=empty, narrow=("name", "summary"))

    return list_plugins


def show_command(kind: str, example: str, what: str) -> click.Command:
    """Return the command that explains one plugin of a kind, which says `what` about it."""
    words = f"Explain one {kind}: {what}, its options and its source."

    @click.command("show", help=words, epilog=f"\b\nExample:\n  workbench {example}")
    @click.argument("name")
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    def show(name: str, as_json: bool) -> None:
        if as_json:
            write_json(describe_plugin(kind, name))
        else:
            show_plugin(kind, name)

    return show
