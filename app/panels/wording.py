"""Text and numbers made ready for a page."""

import re
from html import escape

from workbench.figures.glyphs import visible

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&\"'=^@/])")


def plain_markdown(text: str) -> str:
    """Return text that Markdown shows letter by letter: no links, formulas, images or markup."""
    return _MARKDOWN.sub(r"\\\1", visible(text.replace("\n", " "), blanks=False))


def plain_html(text: str) -> str:
    """Return text that a browser shows letter by letter."""
    return escape(visible(text, blanks=False))


def duration(seconds: float) -> str:
    """Write a time as a person would say it.

    >>> duration(0.42), duration(75), duration(4000)
    ('0.4 s', '1 min 15 s', '1 h 6 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def count(n: int, word: str) -> str:
    """Write a number with its noun, in the plural where it should be.

    >>> count(1, "text"), count(12000, "token")
    ('1 text', '12 000 tokens')
    """
    return f"{n:,}".replace(",", " ") + f" {word}{'' if n == 1 else 's'}"


def amount(n: int) -> str:
    """Write a large number of parameters.

    >>> amount(31_000), amount(134_515_008), amount(7_200_000_000)
    ('31 thousand', '135 million', '7.2 billion')
    """
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if n >= size:
            return f"{n / size:.3g} {word}"
    return str(n)


def short(text: str, limit: int = 60) -> str:
    """Return the beginning of a text on one line."""
    line = visible(" ".join(text.split()), blanks=False)
    return line if len(line) <= limit else line[: limit - 1] + "…"
