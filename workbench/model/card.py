"""Models and traces as small HTML tables, for a notebook."""

from collections.abc import Mapping
from html import escape


def card(title: str, facts: Mapping[str, object]) -> str:
    """Return facts as a table with a title; everything is escaped, nothing is loaded."""
    rows = "".join(
        '<tr><th style="text-align:left;padding-right:1.5em">'
        f'{escape(name)}</th><td style="text-align:left">{_written(value)}</td></tr>'
        for name, value in facts.items()
    )
    return f"<p><b>{escape(title)}</b></p><table>{rows}</table>"


def _written(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace(",", " ")
    # Control and reordering characters of a text are written out, as Python would.
    text = str(value)
    return escape(text if text.isprintable() else ascii(text)[1:-1])
