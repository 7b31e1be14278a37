"""Is the answer right? Strict comparison behind one small interface."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

from workbench.sampling.symbolic import are_equal

_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>(?<![\d)\]])[-+\N{MINUS SIGN}]\s?)?\$?\s?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?P<fraction>\.\d+)?"
)
_AFTER = re.compile(r"(?:answer\s+is|answer:|####)\s*:?\s*", re.IGNORECASE)
_NEXT_QUESTION = re.compile(r"\n\s*(?:Question|Q|Problem)\s*:", re.IGNORECASE)


@runtime_checkable
class Grader(Protocol):
    """Finds the answer in a response and compares it with the reference."""

    def extract(self, text: str) -> str | None:
        """Return the answer as written, None if there is none."""

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether the response's answer equals the reference."""


@dataclass(frozen=True, kw_only=True)
class NumberGrader:
    """Compare final numbers exactly; commas, signs and currency marks are understood.

    The answer is the first number after the last "answer is" or "####", otherwise the last
    number before a following "Question:".
    Source: Lin et al. 2025, arXiv:2411.19943, released grader; unlike it, no number counts as
    equal to its hundredth or hundredfold, and the minus of a difference is not a sign.
    """

    def extract(self, text: str) -> str | None:
        """Return the final number in plain digits."""
        text = _NEXT_QUESTION.split(text, maxsplit=1)[0]
        marks = list(_AFTER.finditer(text))
        for mark in reversed(marks):
            found = _NUMBER.search(text, mark.end())
            if found:
                return _plain(found)
        numbers = list(_NUMBER.finditer(text))
        return _plain(numbers[-1]) if numbers else None

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether the final numbers are the same rational number."""
        found, wanted = self.extract(text), self.extract(reference)
        if found is None or wanted is None:
            return False
        return Fraction(found) == Fraction(wanted)


@dataclass(frozen=True, kw_only=True)
class MathGrader:
    """Compare final expressions symbolically, within a time limit in seconds.

    The answer is the last box, otherwise what math-verify finds in the text.
    """

    time_limit: float = 2.0

    def extract(self, text: str) -> str | None:
        """Return the content of the last box, or the last non-empty line."""
        text = _NEXT_QUESTION.split(text, maxsplit=1)[0]
        boxed = last_box(text)
        if boxed is not None:
            return boxed
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1].strip() if lines else None

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether both answers are mathematically equal; running out of time counts as no."""
        found = self.extract(text)
        if found is None:
            return False
        wanted = last_box(reference) or reference
        if found.strip() == wanted.strip():
            return True
        return are_equal(found, wanted, seconds=self.time_limit)


@dataclass(frozen=True, kw_only=True)
class ChoiceGrader:
    """Compare the chosen letter."""

    letters: str = "ABCDE"

    def extract(self, text: str) -> str | None:
        """Return the first stand-alone letter after "answer is", otherwise the last one."""
        text = _NEXT_QUESTION.split(text, maxsplit=1)[0]
        letter = re.compile(rf"(?<!\w)\(?([{self.letters}])\)?(?![\w'])")
        for mark in reversed(list(_AFTER.finditer(text))):
            found = letter.search(text, mark.end())
            if found:
                return found[1]
        every = letter.findall(text)
        return str(every[-1]) if every else None

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether the same letter was chosen."""
        found = self.extract(text)
        return found is not None and found == reference.strip().strip("()")


def last_box(text: str) -> str | None:
    r"""Return what stands inside the last `\boxed{…}`, braces balanced."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for i in range(begin - 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[begin:i]
    return None


def _plain(match: "re.Match[str]") -> str:
    sign = "-" if (match["sign"] or "").strip() in ("-", "\N{MINUS SIGN}") else ""
    return sign + match["digits"].replace(",", "") + (match["fraction"] or "")
