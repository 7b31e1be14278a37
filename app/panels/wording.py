"""Text and numbers made ready for a page."""

import re
from html import escape

from workbench.figures.glyphs import visible

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&\"'=^@/])")


_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
_COMMAND = re.compile(r"`workbench (\w+)[^`]*`")
_PLACES = {
    "runs": "Runs",
    "probe": "Probe",
    "reason": "Reason",
    "causal": "Cause",
    "models": "Model",
}
# Fields of a page that are called otherwise than their flag.
_FIELDS = {
    "field": "Text field",
    "label": "Label field",
    "group": "Group field",
    "limit": "First rows only",
    "data": "Texts",
    "text": "My own text",
    "max-tokens": "Longest text (tokens)",
    "batch-tokens": "Tokens of one pass",
    "resamples": "Bootstrap resamples",
    "help": "Options",
}


def plain_markdown(text: str) -> str:
    """Return text that Markdown shows letter by letter: no links, formulas, images or markup."""
    return _MARKDOWN.sub(r"\\\1", visible(text.replace("\n", " "), blanks=False))


def plain_html(text: str) -> str:
    """Return text that a browser shows letter by letter."""
    return escape(visible(text, blanks=False))


def verdict_html(summary: str, size: str) -> str:
    """Return a summary as a paragraph of which the first clause, the verdict, is bold.

    >>> verdict_html("Heads look back: to_first 0.4; most head 1", "1rem")
    '<p style="font-size:1rem"><strong>Heads look back:</strong> to_first 0.4; most head 1</p>'
    """
    ends = (m.start() for m in re.finditer(r"(?<=[:;.]) ", summary))
    whole = (i for i in ends if summary.count("(", 0, i) <= summary.count(")", 0, i))
    end = next(whole, len(summary))
    verdict, rest = plain_html(summary[:end]), plain_html(summary[end:])
    return f'<p style="font-size:{size}"><strong>{verdict}</strong>{rest}</p>'


def page_words(text: str) -> str:
    """Return advice in the words of a page: its fields and places instead of a command's flags.

    >>> page_words("name the field with --label; `workbench runs list` shows the ids")
    'name the field with “Label field”; the page Runs shows the ids'
    >>> page_words("raise --max-tokens, or --corpus texts.txt.gz")
    'raise “Longest text (tokens)”, or “Corpus” texts.txt.gz'
    """
    text = _COMMAND.sub(lambda m: f"the page {_PLACES.get(m[1], 'Help')}", text)
    return _FLAG.sub(lambda m: f"“{_FIELDS.get(m[1], m[1].replace('-', ' ').capitalize())}”", text)


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
