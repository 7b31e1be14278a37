"""Invented names, so that nothing but the text tells what causes what."""

import numpy as np

_STARTS = ("bl", "cr", "d", "fl", "gr", "h", "k", "l", "m",
           "n", "pr", "r", "s", "tr", "v", "w", "z")  # fmt: skip
_MIDDLES = ("a", "e", "i", "o", "u")
_ENDS = ("b", "ck", "f", "lk", "mp", "nd", "p", "rt", "sk", "ve", "x", "zz")


def invented(n: int, generator: np.random.Generator) -> list[str]:
    """Draw n different names of one syllable, with a capital."""
    found: dict[str, None] = {}
    while len(found) < n:
        parts = (str(generator.choice(part)) for part in (_STARTS, _MIDDLES, _ENDS))
        found.setdefault("".join(parts).capitalize())
    return list(found)
