"""Numbers as they are written in answers, read by an allow-list of spellings."""

import re
from dataclasses import dataclass
from fractions import Fraction

from workbench.sampling.number_words import leading_words

MOST_DIGITS = 400
_INT = r"(?:\d{1,3}(?:,\d{3})+(?![\d])|\d+)"
_DECIMAL = rf"(?:{_INT}(?:\.\d+)?|\.\d+)"
_POWER = r"\^\s?\{?\s?(?P<power>[-+]?\d+)\s?\}?"
NUMBER = re.compile(
    rf"(?<![\w.\\^])(?P<sign>(?<![\w)\]}}%])[-+])?(?P<currency>(?:[A-Z]{{2,3}})?[$€£¥]\s?)?"
    r"(?P<inner>(?<=[$€£¥])[-+])?(?:"
    r"(?P<whole>\d+)\s(?P<up>\d+)\s?/\s?(?P<down>\d+)"
    rf"|(?P<over>{_INT})\s?/\s?(?P<under>{_INT})"
    rf"|(?P<base>\d+){_POWER}"
    rf"|(?P<digits>{_DECIMAL})(?:[eE](?P<exponent>[-+]?\d+))?"
    r"(?:\s?[*x]\s?10\s?\^\s?\{?\s?(?P<ten>[-+]?\d+)\s?\}?)?"
    r")(?![\d])",
)
_SPACED = re.compile(r"(?<![\d.,/])\d{1,3}(?: \d{3})+(?![\d/])(?! \d)")
_LARGE = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_LARGE_AFTER = re.compile(rf"\s?({'|'.join(_LARGE)})\b", re.IGNORECASE)
# What may stand right behind the digits; other letters may be variables or multipliers.
_UNIT = re.compile(
    r"(?:%|[€£¥$]|st|nd|rd|th|am|pm|[ckm]?m|[km]?g|m?l|ft|in|mi|oz|lbs?|mph|kph|h|hrs?|mins?|s|secs?"
    r"|[A-Za-z]{3,})(?![\w^])"
)
_LEAD = re.compile(r"[^+/^=\\√{}|<>≤≥±∓\d#]*")
_JOINED = re.compile(
    r"\s*(?:[A-Za-z%]+\s?){0,2}(?:\b(?:or|to|and|through|plus|minus|times)\b|[-–—:/,;&~±])"
    r"\s*(?:[A-Za-z]+\s)?[$€£¥]?\d",
)
_OPERATOR = re.compile(r"\s*(?:[*/+^÷√\\]|-\s?[\w(\\]|x\s?\d|\(\s?\d)|[!(]\w")


@dataclass(frozen=True)
class Numeral:
    """A number found in a text: its exact value, and its digits where it is written in such."""

    value: Fraction
    digits: str = ""

    @property
    def plain(self) -> str:
        """The number in plain digits, as written or worked out; a fraction if it has no end."""
        return self.digits or in_digits(self.value)


def whole_number(text: str) -> Fraction | None:
    """Return the value of a text that is one number and nothing else, None otherwise.

    Currency, a percent sign and marks of a formula may stand around it; a percent sign is a unit.
    """
    bare = re.sub(r"^[\s$]+(?=[$\d.+-])|[\s$%]+$|[.]\s*$", "", text.strip()).strip("$ ")
    bare = re.sub(r"^\(\s*(.*?)\s*\)$", r"\1", bare)
    found = NUMBER.fullmatch(_grouped(re.sub(r"^([-+])\s", r"\1", bare)))
    return value_of(found) if found else None


def stated_number(text: str) -> Numeral | None:
    """Return the one number that a clause states, None where it states none or leaves it open.

    The first number counts. Before it may stand words; an operator there, or an operator, a
    range or a second number joined to it, makes it part of something that is not worked out.
    """
    text = _grouped(re.sub(r"^(\W*[-+])\s(?=\d)", r"\1", text))
    found = NUMBER.search(text)
    if found is None:
        return leading_words_numeral(text)
    lead, rest = text[: found.start()], text[found.end() :]
    if not _LEAD.fullmatch(lead) or re.search(r"\w\s*[-*]\s*$|\w\($", lead):
        return None
    return _closed(found, rest)


def last_number(text: str) -> Numeral | None:
    """Return the last number of a text, None where it is part of a time, date or version."""
    text, found = _grouped(text), None
    for found in NUMBER.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    if found is None:
        return None
    before, rest = text[: found.start()], text[found.end() :]
    later = re.search(r"\d", rest)
    glued = re.search(r"\d[:/._]$|\.\d+,$", before) or re.match(r"[:/._,]\d|\s?/\s?\d", rest)
    return None if later or glued else _extended(found, rest)


def leading_words_numeral(text: str) -> Numeral | None:
    """Return the number that a clause begins with in words, None where it begins otherwise."""
    found = leading_words(text)
    return None if found is None else Numeral(Fraction(found))


def value_of(found: "re.Match[str]") -> Fraction | None:
    """Return the exact value of a match of `NUMBER`; None if undefined or too long to be meant."""
    if sum(map(str.isdigit, found[0])) > MOST_DIGITS:
        return None
    part = {name: (text or "").replace(",", "") for name, text in found.groupdict().items()}
    shifts = [int(part[name] or 0) for name in ("exponent", "ten", "power")]
    if max(map(abs, shifts)) > MOST_DIGITS:
        return None
    down = int(part["down"] or part["under"] or 1)
    base = int(part["base"] or 1)
    if down == 0 or (base == 0 and shifts[2] < 0):
        return None
    if part["whole"]:
        value = int(part["whole"]) + Fraction(int(part["up"]), down)
    elif part["over"]:
        value = Fraction(int(part["over"]), down)
    elif part["base"]:
        value = Fraction(base) ** shifts[2]
    else:
        value = Fraction(part["digits"]) * Fraction(10) ** (shifts[0] + shifts[1])
    return -value if "-" in (part["sign"], part["inner"]) else value


def in_digits(value: Fraction) -> str:
    """Return a number as an integer, a finite decimal, or a fraction in lowest terms."""
    left, twos, fives = value.denominator, 0, 0
    while left % 2 == 0:
        left, twos = left // 2, twos + 1
    while left % 5 == 0:
        left, fives = left // 5, fives + 1
    if left != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def _grouped(text: str) -> str:
    """Return a text with commas for the blanks between thousands."""
    return _SPACED.sub(lambda m: m[0].replace(" ", ","), text)


def _closed(found: "re.Match[str]", rest: str) -> Numeral | None:
    """Return a number unless what follows belongs to the same expression, range or list."""
    if re.match(r"[\w.]*[._:]\d|,\d", rest) or _JOINED.match(rest) or _OPERATOR.match(rest):
        return None
    return _extended(found, rest)


def _extended(found: "re.Match[str]", rest: str) -> Numeral | None:
    """Return a number with what multiplies it; None where a strange letter sticks to it."""
    value = value_of(found)
    if value is None:
        return None
    large = _LARGE_AFTER.match(rest)
    if large:
        return Numeral(value * 10 ** _LARGE[large[1].lower()])
    if re.match(r"[^\W\d_]|_", rest) and not _UNIT.match(rest):
        return None
    return Numeral(value, _digits(found, value))


def _digits(found: "re.Match[str]", value: Fraction) -> str:
    """Return a plain decimal as written, without separators; nothing for other spellings."""
    if not found["digits"] or found["exponent"] or found["ten"]:
        return ""
    digits = found["digits"].replace(",", "")
    return ("-" if value < 0 else "") + (f"0{digits}" if digits[0] == "." else digits)
