"""Rare names and numbers that are set apart, so that what never trained can be judged."""

import re
from collections import Counter
from collections.abc import Iterable

from workbench.sampling.split import in_part

_NAME = re.compile(r"(?<=\w )[A-Z][\w'’-]*|\d[\d.,]*")
_RARE = 1e-3
_SHORT = 2


def rare_words(text: str) -> set[str]:
    """Return the numbers of a text and its capitalised words within a sentence."""
    return {found.strip(".,").lower() for found in _NAME.findall(text)}


def words_apart(texts: Iterable[str]) -> set[str]:
    """Return a twentieth, by hash, of the words that stand in at most a thousandth of the texts."""
    counts: Counter[str] = Counter()
    n = 0
    for text in texts:
        counts.update(rare_words(text))
        n += 1
    most = max(_SHORT, _RARE * n)
    return {word for word, k in counts.items() if k <= most and in_part(f"rare {word}", "valid")}
