"""Whole numbers in English words."""

import re

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {word: i for i, word in enumerate(_UNITS)} | {
    word: 10 * i for i, word in enumerate(_TENS, start=2)
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORD = "|".join((*_VALUES, "hundred", *_SCALES))
_PHRASE = re.compile(
    rf"\W*(?:(?:exactly|about|only|just|negative|minus)\s+)?(?P<words>(?:{_WORD})"
    rf"(?:(?:[\s-]+(?:and\s+)?)(?:{_WORD}))*)\b(?!\s+(?:of|or|to|and)\b|-)",
    re.IGNORECASE,
)


def leading_words(text: str) -> int | None:
    """Return the whole number a text begins with in words, None where it begins otherwise.

    "One of them" is no number, and neither is "five or six".
    """
    found = _PHRASE.match(text)
    if found is None:
        return None
    value = _value([w for w in re.split(r"[\s-]+", found["words"].lower()) if w != "and"])
    if value is None:
        return None
    sign = -1 if re.search(r"\b(?:negative|minus)\s", found[0], re.IGNORECASE) else 1
    return sign * value


def _value(words: list[str]) -> int | None:
    """Return the value of words in the order of a number; None where they make none."""
    total, part, room, scale = 0, 0, 100, 10**12
    for word in words:
        if word in _SCALES:
            if _SCALES[word] >= scale or not part:
                return None
            scale = _SCALES[word]
            total, part, room = total + part * scale, 0, 100
        elif word == "hundred":
            if not 0 < part < 10:
                return None
            part, room = part * 100, 100
        elif _VALUES[word] < room and (_VALUES[word] or not part):
            part += _VALUES[word]
            room = 10 if _VALUES[word] >= 20 else 0
        else:
            return None
    return total + part
