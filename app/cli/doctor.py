"""`workbench doctor`: is everything in order, and what to do where it is not."""

from typing import TYPE_CHECKING

import click

from app.cli.output import Form, console, takes_form, write_rows

if TYPE_CHECKING:
    from app.health import Check

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failed": ("FAILED", "red")}


@click.command(epilog="\b\nExample:\n  workbench doctor\n  workbench doctor --json")
@takes_form
def command(form: Form) -> None:
    """Check the installation, the models, the store and the machine.

    Exits with 0 when nothing failed; warnings are allowed.
    """
    from app.health import checkup, is_healthy

    checks = checkup()
    if form is Form.TABLE:
        _draw(checks)
    else:
        write_rows([vars(check) for check in checks], form)
    if not is_healthy(checks):
        raise click.exceptions.Exit(1)


def _draw(checks: "tuple[Check, ...]") -> None:
    from rich.table import Table
    from rich.text import Text

    from app.cli.escaping import visible

    drawing = Table.grid(padding=(0, 2, 0, 0))
    drawing.add_column(no_wrap=True)
    drawing.add_column(no_wrap=True)
    drawing.add_column(overflow="fold")
    for check in checks:
        word, style = _MARKS[check.state]
        drawing.add_row(Text(word, style=style), Text(check.name), Text(visible(check.found)))
        if check.hint:
            drawing.add_row("", "", Text(f"try: {visible(check.hint)}", style="dim"))
    console().print(drawing)
    failed = sum(check.state == "failed" for check in checks)
    warnings = sum(check.state == "warning" for check in checks)
    summary = "everything is in order" if not failed else f"{failed} problems"
    console().print(Text(f"{summary}{f', {warnings} warnings' if warnings else ''}", style="bold"))
