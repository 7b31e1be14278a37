"""The words of a text, whatever marks stand in it."""

import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_MARKER = re.compile(
    r"(?<!\w)<[|/]?[^\W\d][\w|./-]{0,39}>|\[/?(?:UNK|CLS|SEP|PAD|MASK|BOS|EOS|INST)\d*\]"
)
"""What stands for a token, such as <unk>, </s>, <|im_start|> and [MASK]; tags of HTML as well."""


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, apostrophes as they are in ASCII."""
    return [m[0].lower().replace("’", "'") for m in words_in(text)]


def words_in(text: str) -> Iterator[re.Match[str]]:
    """Yield every word where it stands; markers of special and unknown tokens are none."""
    return _WORD.finditer(_MARKER.sub(lambda marker: " " * len(marker[0]), text))
