"""The options that benches share, and what they print."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from app.cli.output import console, say, show_table, write_json

if TYPE_CHECKING:
    from workbench.result.tables import Column

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

MODEL = click.option("--model", default="default", show_default=True, help="Model to measure on.")
DTYPE = click.option(
    "--dtype", default="auto", show_default=True, help="Number format of the weights."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def count(flag: str, default: int, help: str, *, least: int = 1) -> Decorator:
    """Return an option that is a whole number from `least` on."""
    number = click.IntRange(min=least)
    return click.option(flag, type=number, default=default, show_default=True, help=help)


def repeats(default: int) -> Decorator:
    """Return the option that says how often each way is timed."""
    return count("--repeats", default, "How often each way is timed.")


def report(  # noqa: PLR0913 - what was found, and how it is printed
    found: Mapping[str, Any],
    facts: Sequence[str],
    title: str,
    *,
    as_json: bool,
    rows: Sequence[Mapping[str, Any]] | None = None,
    columns: "Mapping[str, Column] | None" = None,
    line: str = "",
) -> None:
    """Print one table of what a bench found, and its claims; exit with 1 when one fails.

    `rows` are those of the table, by default those found under its title.
    """
    if as_json:
        write_json(found)
    else:
        from rich.text import Text

        from workbench.result.tables import Table

        out, told = console(), found[title] if rows is None else rows
        if facts:
            out.print(Text(" · ".join(f"{name} {found[name]}" for name in facts), style="dim"))
        show_table(
            Table.from_rows(told, columns or {}), title=title, wrap=True, most_rows=len(told)
        )
        show_table(Table.from_rows(found["bars"]), title="claims", wrap=True)
        if line:
            out.print(Text(line))
    if not (found.get("bit_identical", True) and all(bar["passed"] for bar in found["bars"])):
        say("not every claim holds here", style="red")
        raise click.exceptions.Exit(1)
