"""Where an answer stands in a response: the conventions, each with its name."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

HASH, ANSWER_IS, BOXED = "gsm8k-hash", "answer-is", "boxed"
SHORT_HASH, LETTER, LAST_NUMBER, LAST_LINE = "hash", "letter", "last-number", "last-line"
MARKED_ONCE, LAST_STATEMENT, PLAN = "marked-once", "last-statement", "plan"
UNFINISHED = "unfinished"

_ORDINAL = r"(?:one|two|three|four|five|six|seven|eight|nine|ten)"
_KINDS = r"(?:Question|Problem|Exercise|QUESTION|PROBLEM|EXERCISE)"
_MARKUP = r"[#*_>\s]*"
_CUT = re.compile(
    # At the beginning of a line in any case, within a line only with a capital.
    rf"(?:\n{_MARKUP}(?:(?i:(?:(?:next|new|another)\s+)?(?:question|problem|exercise|q))\s*[:.]"
    rf"|(?i:(?:question|problem|exercise)\s+{_ORDINAL})\s*[:.\n]"
    rf"|(?i:question|problem|exercise|q)\s*[#№]?\s?\d+(?:\s*[:.)\]*–-]|\s*\n|\s+(?=[A-Z])))"
    rf"|(?<=[.!?*\s>)\]}}\d]){_MARKUP}(?:\b(?:(?:Next|New|Another)\s+(?i:{_KINDS})|{_KINDS}|Q)\s*:"
    rf"|\b{_KINDS}\s+(?i:{_ORDINAL})\s*[:.]"
    rf"|\b(?:{_KINDS}\s*[#№]?\s?|Q)\d+\s*[:.)](?=\s|$)))"
)
_ANSWER = re.compile(
    r"\banswer[*_]*\s*(?:(?:is|was|equals|would\s+be|will\s+be|must\s+be)\b|(?=[:=]))"
    r"[*_]*\s*[:=]?[*_]*(?:\s*#{2,4}(?=\s))?",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"\n|[.!?][\"')*\]]*(?=\s+[^\d\s]|\s*$)")
_GAP = re.compile(r"[^\S\n]*(?:\n\s*(?:[-*•]\s+)?)?")
_VERB = re.compile(r"(?:is|was|equals|be)\b", re.IGNORECASE)
_NEGATED = re.compile(r"\W*(?:not\b|n[o']t\b)", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Found:
    """The answer of a response, and which grader read it by which convention.

    `answer` is None where the response gives none. `is_closed` tells that the response went on
    after its answer was complete, so that a limit cannot have cut the answer short.
    """

    answer: str | None
    convention: str = ""
    grader: str = ""
    is_closed: bool = False


class FindsAnswer(ABC):
    """A grader whose `find` reads the answer."""

    @abstractmethod
    def find(self, text: str) -> Found:
        """Return the answer with the convention it was read by."""

    def extract(self, text: str) -> str | None:
        """Return the answer as `find` spells it, None if there is none."""
        return self.find(text).answer


@dataclass(frozen=True)
class Clause:
    """What stands behind a mark, up to the end of its sentence or line.

    `is_header` tells that the mark was a bare "Answer:", which may also open the reasoning;
    `is_negated` that this is said not to be the answer.
    """

    text: str
    is_header: bool
    is_negated: bool


def before_next_question(text: str) -> str:
    """Return a response up to the next question that its writer went on to ask.

    `Question:`, `Q:`, `Question 2:`, `Q2:`, `Problem 3.` and their like are known, on a line of
    their own or behind a sentence. One that opens the response repeats the question, and stays.
    """
    for mark in _CUT.finditer(text):
        if text[: mark.start()].strip(" \n#*_>"):
            return text[: mark.start()]
    return text


def hash_line(text: str, mark: str = "####") -> tuple[str, bool] | None:
    """Return the rest of the line behind the first mark, and whether that line is complete.

    A longer run of the mark's sign is another mark. None where the text holds no mark.
    Source: Cobbe et al. 2021, arXiv:2110.14168, whose grader takes the first.
    """
    sign = re.escape(mark[-1])
    found = re.search(rf"(?<!{sign}){re.escape(mark)}(?!{sign})[ \t]*([^\n]*)(\n?)", text)
    return None if found is None else (found[1], bool(found[2]))


def answer_clauses(text: str) -> Iterator[Clause]:
    """Yield what stands behind every "answer is" or "answer:", the last one first.

    A colon at the end of a line leads to the next line, past the sign of a list.
    """
    for mark in reversed(list(_ANSWER.finditer(text))):
        gap = _GAP.match(text, mark.end())
        start = gap.end() if gap else mark.end()
        end = _CLAUSE_END.search(text, start)
        clause = text[start : end.start()] if end else text[start:]
        if clause.rstrip().endswith(":") and end:
            following = text[end.end() :].lstrip().split("\n", 1)[0]
            clause = f"{clause} {following}"
        yield Clause(
            text=clause,
            is_header=_VERB.search(mark[0]) is None,
            is_negated=_NEGATED.match(clause) is not None,
        )


def last_box(text: str) -> str | None:
    r"""Return what stands inside the last `\boxed{…}`, braces balanced; None if it is open.

    Source: Hendrycks et al. 2021, arXiv:2103.03874, whose grader takes the last box.
    """
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    begin = text.index("{", start) + 1
    depth, at = 1, begin
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[begin:at]
        at += 1
    return None


def has_box(text: str) -> bool:
    """Whether a text opens a box, closed or not."""
    return "\\boxed{" in text or "\\fbox{" in text
