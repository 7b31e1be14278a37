"""Is the answer right? Strict comparison behind one small interface."""

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol, runtime_checkable

from workbench.sampling import conventions
from workbench.sampling.choice_grading import ChoiceGrader
from workbench.sampling.conventions import Found, last_box
from workbench.sampling.number_words import leading_words
from workbench.sampling.numerals import Numeral, last_number, stated_number, whole_number
from workbench.sampling.spellings import one_spelling, without_annotations
from workbench.sampling.symbolic import are_equal

__all__ = ["ChoiceGrader", "Grader", "MathGrader", "NumberGrader", "last_box"]

_SIDES = re.compile(r"(?<![<>!=])=+|≈")
_LABEL = re.compile(
    r"\s*(?:(?:so\s+)?(?:the\s+)?(?:final\s+)?answer\s*(?:is)?\s*[:=]?)?", re.IGNORECASE
)


@runtime_checkable
class Grader(Protocol):
    """Finds the answer in a response and compares it with the reference."""

    @property
    def name(self) -> str:
        """What the grader is called in results."""

    def find(self, text: str) -> Found:
        """Return the answer with the convention it was read by."""

    def extract(self, text: str) -> str | None:
        """Return the answer as written, None if there is none."""

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether the response's answer equals the reference."""

    def accepts(self, reference: str) -> bool:
        """Whether the grader can compare anything with this reference."""


@dataclass(frozen=True, kw_only=True)
class NumberGrader(conventions.FindsAnswer):
    """Compare final numbers exactly, as rational numbers.

    The response is read up to the next question that its writer asks, calculator annotations
    left out. The first of these conventions that applies decides, and is named:

    1. `gsm8k-hash`: a number directly behind the first `####`.
    2. `answer-is`: the number of the sentence behind the last "answer is" or "answer:"; in an
       equation the last side that is a number.
    3. `boxed`: the content of the last box.
    4. `last-number`: the last number of the text, where no mark stands.

    A number is: digits with commas, thin or single blanks between thousands; a decimal point
    (never a decimal comma); a fraction, also mixed; `1e3`, `3*10^2`, `10^3`; these in LaTeX or
    Unicode; thousand, million or billion behind it; and behind a mark also a whole number in
    words. Currency, percent signs and units are left out: 50% equals 50 and not 0.5. Behind a
    mark, sums that are not worked out, ranges, alternatives, times and dates are no number.

    Source: Cobbe et al. 2021, arXiv:2110.14168; Lin et al. 2025, arXiv:2411.19943, released
    grader; unlike it, no number counts as equal to its hundredth or hundredfold.
    """

    name: ClassVar[str] = "number"

    def find(self, text: str) -> Found:
        """Return the final number in plain digits, with its convention."""
        own = conventions.before_next_question(text)
        numeral, convention, line_ends = _numeral(one_spelling(without_annotations(own)))
        return Found(
            answer=None if numeral is None else numeral.plain,
            convention=convention,
            grader=self.name,
            is_closed=len(own) < len(text) or line_ends,
        )

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether the final numbers are the same rational number."""
        found, wanted = self.extract(text), self._wanted(reference)
        return found is not None and wanted is not None and Fraction(found) == wanted

    def accepts(self, reference: str) -> bool:
        """Whether the reference is a number or ends in one."""
        return self._wanted(reference) is not None

    def _wanted(self, reference: str) -> Fraction | None:
        whole = whole_number(one_spelling(reference))
        found = self.extract(reference) if whole is None else None
        return whole if found is None else Fraction(found)


@dataclass(frozen=True, kw_only=True)
class MathGrader(conventions.FindsAnswer):
    """Compare final expressions symbolically, within a time limit in seconds.

    Conventions: `boxed`, the last box; `answer-is`, the sentence behind the last "answer is";
    otherwise `last-line`. A box that is not closed is no answer. Numbers compare exactly, other
    expressions by math-verify.

    Source: Hendrycks et al. 2021, arXiv:2103.03874.
    """

    name: ClassVar[str] = "math"
    time_limit: float = 2.0

    def find(self, text: str) -> Found:
        """Return the final expression, with its convention."""
        own = conventions.before_next_question(text)
        answer, convention = _expression(own)
        is_closed = len(own) < len(text)
        return Found(answer=answer, convention=convention, grader=self.name, is_closed=is_closed)

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether both answers are mathematically equal; running out of time counts as no."""
        found = self.extract(text)
        if found is None:
            return False
        wanted = last_box(reference) or reference
        if found.strip() == wanted.strip():
            return True
        numbers = [whole_number(one_spelling(side)) for side in (found, wanted)]
        if None not in numbers:
            return numbers[0] == numbers[1]
        return are_equal(_bare(found), _bare(wanted), seconds=self.time_limit)

    def accepts(self, reference: str) -> bool:
        """Whether there is an expression."""
        return bool(reference.strip())


def _numeral(text: str) -> tuple[Numeral | None, str, bool]:
    """Return the number, its convention, and whether a line break closes it."""
    line = conventions.hash_line(text)
    if line is not None:
        label = _LABEL.match(line[0])
        rest = line[0][label.end() :] if label else line[0]
        # A heading such as "#### Step 1" is no answer: the number must stand at once.
        if re.match(r"\W*(?:[A-Z]{2,3}[$€£¥])?[\d.]", rest) or leading_words(rest) is not None:
            return _stated(rest), conventions.HASH, line[1]
    for clause in conventions.answer_clauses(text):
        if re.search(r"\d", clause.text) or leading_words(clause.text) is not None:
            stated = None if clause.is_negated else _stated(_unboxed(clause.text))
            return stated, conventions.ANSWER_IS, False
        if not clause.is_header and clause.text.strip():
            return None, conventions.ANSWER_IS, False
    if conventions.has_box(text):
        box = last_box(text)
        return None if box is None else _stated(box), conventions.BOXED, False
    return last_number(text), conventions.LAST_NUMBER, False


def _stated(clause: str) -> Numeral | None:
    """Return the number of a clause; of an equation, its last side that is one."""
    for side in reversed(_SIDES.split(clause)):
        found = stated_number(side)
        if found is not None:
            return found
    return None


def _unboxed(clause: str) -> str:
    box = last_box(clause)
    return clause if box is None else box


def _expression(text: str) -> tuple[str | None, str]:
    if conventions.has_box(text):
        return last_box(text), conventions.BOXED
    for clause in conventions.answer_clauses(text):
        if clause.text.strip():
            told = None if clause.is_negated else clause.text.strip(" .*")
            return told, conventions.ANSWER_IS
    lines = [line for line in text.splitlines() if line.strip()]
    return (lines[-1].strip() if lines else None), conventions.LAST_LINE


def _bare(expression: str) -> str:
    """Return an expression without the marks of a formula, which are put around it later."""
    return expression.strip().removeprefix("\\(").removesuffix("\\)").strip(" $")
