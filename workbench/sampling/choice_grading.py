"""Which of some lettered choices does a response take?"""

import re
from dataclasses import dataclass
from typing import ClassVar

from workbench.sampling import conventions
from workbench.sampling.conventions import Found
from workbench.sampling.spellings import one_spelling

_LABEL = re.compile(
    r"\s*(?:(?:so\s+)?(?:the\s+)?(?:(?:final|correct|right|best)\s+)*(?:answer|option|choice)?"
    r"\s*(?:is)?\s*[:=]?)*\s*",
    re.IGNORECASE,
)
# "A" and "I" before another word are an article and a pronoun, unless a reason follows.
_REASON = r"(?:because|since|as|due|for|which|and\s+not)\b"
_ALTERNATIVE = re.compile(r"\)?\s*(?:,|/|&|\bor\b|\band\b(?!\s+not))\s*\(?(?P<next>\w)\b")


@dataclass(frozen=True, kw_only=True)
class ChoiceGrader(conventions.FindsAnswer):
    """Compare the chosen letter, upper or lower case.

    Conventions, the first that applies: `hash`, a letter directly behind the first `###` or
    `####`; `answer-is`, the sentence behind the last "answer is" or "answer:"; `boxed`; and
    `letter`, a letter in brackets or alone at the beginning of the last line. A letter stands
    alone, in brackets or before a mark; "a dog" names no letter, and two letters joined by "or"
    or "and" leave it open.

    Source: Talmor et al. 2019, arXiv:1811.00937; data files of arXiv:2505.22202 for `###`.
    """

    name: ClassVar[str] = "choice"
    letters: str = "ABCDE"

    def find(self, text: str) -> Found:
        """Return the chosen letter in upper case, with its convention."""
        own = conventions.before_next_question(text)
        letter, convention, line_ends = self._find(one_spelling(own))
        return Found(
            answer=letter,
            convention=convention,
            grader=self.name,
            is_closed=len(own) < len(text) or line_ends,
        )

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether the same letter was chosen."""
        found = self.extract(text)
        return found is not None and found == _bare(reference)

    def accepts(self, reference: str) -> bool:
        """Whether the reference is one of the letters."""
        return len(_bare(reference)) == 1 and _bare(reference) in self.letters

    def _find(self, text: str) -> tuple[str | None, str, bool]:
        for mark in ("####", "###"):
            line = conventions.hash_line(text, mark)
            letter = self._stated(line[0]) if line else None
            if line and letter:
                return letter, conventions.SHORT_HASH, line[1]
        for clause in conventions.answer_clauses(text):
            if clause.is_header and not self._stated(clause.text):
                continue
            letter = None if clause.is_negated else self._stated(clause.text)
            return letter, conventions.ANSWER_IS, False
        if conventions.has_box(text):
            box = conventions.last_box(text)
            return self._stated(box or ""), conventions.BOXED, False
        return self._alone(text), conventions.LETTER, False

    def _stated(self, clause: str) -> str | None:
        """Return the letter that a clause begins with, None if it begins otherwise."""
        box = conventions.last_box(clause)
        clause = clause if box is None else box
        label = _LABEL.match(clause)
        rest = clause[label.end() :] if label else clause
        found = re.match(
            rf"[\s*_$\"'“]*(?P<open>[(\[])?\s*(?P<letter>[{self.letters}{self.letters.lower()}])"
            r"(?:\s*[)\].:,;*\"'”$]|\s*$|\s*\n|(?P<bare>\s+\S|\s*[–—/-]))",
            rest,
        )
        if found is None or re.match(r"[.'’]\w", rest[found.end("letter") :]):
            return None
        after = rest[found.end("letter") :]
        joined = _ALTERNATIVE.match(after)
        letter = found["letter"]
        known = self.letters.lower() if letter.islower() else self.letters
        if joined and joined["next"] in known:
            return None
        is_word = letter.islower() or letter in "AI"
        if found["bare"] and is_word and not re.match(rf"\s+{_REASON}|\s+[–—-]\s", after):
            return None
        return letter.upper()

    def _alone(self, text: str) -> str | None:
        every = list(re.finditer(rf"\(([{self.letters}])\)", text))
        line = (text.strip().splitlines() or [""])[-1]
        if not every and re.match(rf"\W*[{self.letters}](?:[).:,*]|\W*$)", line):
            return self._stated(line)
        if not every:
            return None
        before = text[every[-2].end() : every[-1].start()] if len(every) > 1 else ""
        is_open = len(every) > 1 and re.fullmatch(r"\s*(?:,|/|or|and|&)+\s*", before)
        return None if is_open else every[-1][1]


def _bare(reference: str) -> str:
    return reference.strip().strip("().: ").upper()
