"""Which of some choices, each in words, does a response take?"""

import re
from dataclasses import dataclass
from typing import ClassVar

from workbench.sampling import conventions
from workbench.sampling.conventions import Found


@dataclass(frozen=True, kw_only=True)
class WordGrader(conventions.FindsAnswer):
    """Compare the choice that a response states, in upper or lower case.

    Conventions, the first that applies: `answer-is`, the sentence behind the last "answer is" or
    "answer:"; `hash`, behind `###`; `first-word`, a response that begins with a choice;
    `last-line`, the one choice that stands on the last line. Two choices leave it open.
    """

    name: ClassVar[str] = "words"
    words: tuple[str, ...]

    def find(self, text: str) -> Found:
        """Return the choice as it is written among the words, with its convention."""
        own = conventions.before_next_question(text)
        is_closed = len(own) < len(text)
        for part, convention in self._parts(own):
            answer = self._begins(part) or self._only(part)
            if answer is not None or convention == conventions.ANSWER_IS:
                return self._found(answer, convention, is_closed)
        first = self._begins(own)
        if first is not None:
            return self._found(first, "first-word", is_closed or len(own.split()) > 1)
        lines = own.strip().splitlines() or [""]
        return self._found(self._only(lines[-1]), conventions.LAST_LINE, is_closed)

    def is_correct(self, text: str, reference: str) -> bool:
        """Whether it is the reference."""
        found = self.extract(text)
        return found is not None and found.lower() == reference.lower()

    def accepts(self, reference: str) -> bool:
        """Whether the reference is one of the words."""
        return reference in self.words

    def _parts(self, text: str) -> list[tuple[str, str]]:
        clauses = [c.text for c in conventions.answer_clauses(text) if not c.is_negated][:1]
        line = conventions.hash_line(text, "###") or conventions.hash_line(text)
        found = [(clause, conventions.ANSWER_IS) for clause in clauses]
        return found + ([(line[0], conventions.SHORT_HASH)] if line else [])

    def _begins(self, text: str) -> str | None:
        bare = text.lstrip(" \n\t*_\"'“([")
        fit = [w for w in self.words if re.match(rf"{re.escape(w)}(?!\w)", bare, re.IGNORECASE)]
        return max(fit, key=len, default=None)

    def _only(self, text: str) -> str | None:
        said = [
            w for w in self.words if re.search(rf"(?<!\w){re.escape(w)}(?!\w)", text, re.IGNORECASE)
        ]
        return said[0] if len(said) == 1 else None

    def _found(self, answer: str | None, convention: str, is_closed: bool) -> Found:
        return Found(answer=answer, convention=convention, grader=self.name, is_closed=is_closed)
