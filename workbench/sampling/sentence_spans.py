"""Where the sentences of a text begin and end."""

import re

_BREAK = re.compile(r"\n+|(?<=[.!?])[\"')\]’”]*\s+")
_CLOSERS = "\"')]’”"
_ABBREVIATED = frozenset(
    ("mr", "mrs", "ms", "dr", "st", "vs", "no", "prof", "jr", "sr", "e.g", "i.e", "a.m", "p.m")
)
_FORMULA = re.compile(r"<<([^<>\n]*)>>")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) characters of every sentence, without the space around it.

    A sentence ends at a line break, or at a full stop, question or exclamation mark before a
    blank. Common abbreviations and single initials end none. No language model is asked, so
    unusual writing is split wrongly now and then.
    """
    spans, start = [], 0
    for found in _BREAK.finditer(text):
        end = found.start()
        if "\n" not in found[0] and _is_abbreviated(text[start:end]):
            continue
        while end < len(text) and text[end] in _CLOSERS and end < found.end():
            end += 1
        spans.append((start, end))
        start = found.end()
    spans.append((start, len(text)))
    return [kept for span in spans if (kept := _stripped(text, *span)) is not None]


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text, runs of blanks as one."""
    return [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]


def without_formulas(text: str) -> tuple[str, list[str]]:
    """Take calculator annotations such as `<<3+4=7>>` out of a text and return them beside it.

    Source: Cobbe et al. 2021, arXiv:2110.14168, where solutions carry them.
    """
    return _FORMULA.sub("", text), [found[0] for found in _FORMULA.finditer(text)]


def _is_abbreviated(sentence: str) -> bool:
    words = sentence.removesuffix(".").split()
    if not sentence.endswith(".") or not words:
        return False
    last = words[-1].lstrip("(\"'")
    return last.lower() in _ABBREVIATED or (len(last) == 1 and last.isalpha() and last.isupper())


def _stripped(text: str, start: int, end: int) -> tuple[int, int] | None:
    part = text[start:end]
    if not part.strip():
        return None
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
