"""Prompts with parallel parts as text: `{{one||two}}` marks parts, which may hold such blocks."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from workbench.errors import BadRows, DataError
from workbench.methods.contracts import Example
from workbench.model.masks import Parallel, Piece
from workbench.model.tokens import token_ids
from workbench.sampling.rendering import text_ids
from workbench.sampling.sentence_spans import sentence_spans

_MARK = re.compile(r"\\(?P<plain>\{\{|\|\||\}\})|(?P<mark>\{\{|\|\||\}\})")
_NEXT = "---"


def read_parts(path: str | Path) -> list[tuple[str, str]]:
    """Return the prompts of a file, each with the place `file:line` where it begins.

    Prompts are separated by lines of three dashes. The last line break of a prompt is left out.

    Raises:
        DataError: the file cannot be read, or holds no prompt.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}", hint="a text file in UTF-8") from error
    prompts, begin = [], 0
    for end in (*(i for i, line in enumerate(lines) if line.strip() == _NEXT), len(lines)):
        part = [line.removesuffix("\r") for line in lines[begin:end]]
        text = "\n".join(part).removesuffix("\n")
        if text.strip():
            prompts.append((text, f"{path}:{begin + 1}"))
        begin = end + 1
    if not prompts:
        raise DataError(f"{path} holds no prompt", hint="Options:{{ one;|| two;}} Answer:")
    return prompts


def pieces_of(tokenizer: Any, marked: str, *, source: str = "") -> tuple[Piece, ...]:
    """Return a prompt as tokens and blocks; every stretch of text is tokenised by itself.

    Text stands as it is written, spaces and line breaks included; a backslash before a mark makes
    it text. `||` outside a block is text.

    Raises:
        DataError: a block is not closed or was not opened, or a part is empty; the message names
            the line.
    """
    found = _Reader(tokenizer, marked, source).prompt()
    if not found:
        raise DataError(f"{source or 'the prompt'} holds no text", hint="write a prompt")
    return found


def has_parts(marked: str) -> bool:
    """Whether a text has a mark that opens a block."""
    return any(m["mark"] == "{{" for m in _MARK.finditer(marked))


def marked_by_itself(text: str, most: int = 5) -> str:
    """Mark the parts of a text that has no marks: its lines, else sentences, else words.

    The last one follows the parts; those before the last `most` lead up to them.
    """
    lines = [line for line in text.splitlines(keepends=True) if line.strip()]
    pieces = lines if len(lines) > 2 else _sentences(text)
    if len(pieces) < 3:
        pieces = re.findall(r"\s*\S+", text)
    if len(pieces) < 3:
        return _escaped(text)
    first = max(len(pieces) - 1 - most, 0)
    before, parts, after = pieces[:first], pieces[first:-1], pieces[-1]
    block = "||".join(map(_escaped, parts))
    return _escaped("".join(before)) + "{{" + block + "}}" + _escaped(after)


def _sentences(text: str) -> list[str]:
    ends = [0, *(end for _, end in sentence_spans(text))]
    return [text[a:b] for a, b in pairwise(ends)]


def _escaped(text: str) -> str:
    return re.sub(r"\{\{|\|\||\}\}", lambda found: "\\" + found[0], text)


class _Reader:
    """One pass over a marked prompt."""

    def __init__(self, tokenizer: Any, marked: str, source: str) -> None:
        self._tokenizer = tokenizer
        self._text = marked
        self._name, _, line = source.rpartition(":")
        self._line = int(line) if line.isdecimal() else 1
        self._marks = list(_MARK.finditer(marked))
        self._at = 0

    def prompt(self) -> tuple[Piece, ...]:
        pieces, closed, _ = self._sequence(0, is_first=True)
        if closed is not None:
            raise self._error("a part is closed that was not opened", closed, r"\}} is text")
        return pieces

    def _sequence(
        self, begin: int, *, is_first: bool = False, opened: bool = False
    ) -> tuple[tuple[Piece, ...], "re.Match[str] | None", int]:
        """Read up to the mark that ends a part; return it and where it ends."""
        pieces: list[Piece] = []
        held = ""
        while self._at < len(self._marks):
            mark = self._marks[self._at]
            self._at += 1
            held += self._text[begin : mark.start()]
            begin = mark.end()
            if mark["plain"] or (mark["mark"] == "||" and not opened):
                held += mark["plain"] or mark["mark"]
                continue
            pieces += self._ids(held, is_first=is_first and not pieces)
            held = ""
            if mark["mark"] != "{{":
                return tuple(pieces), mark, begin
            block, begin = self._block(mark)
            pieces.append(block)
        pieces += self._ids(held + self._text[begin:], is_first=is_first and not pieces)
        return tuple(pieces), None, len(self._text)

    def _block(self, opening: "re.Match[str]") -> tuple[Parallel, int]:
        branches, begin = [], opening.end()
        while True:
            branch, mark, end = self._sequence(begin, opened=True)
            if mark is None:
                raise self._error("a block of parts is not closed", opening, "end it with }}")
            if not branch:
                raise self._error("a part is empty", mark, "write {{ one|| two}}")
            branches.append(branch)
            begin = end
            if mark["mark"] == "}}":
                return Parallel(branches=tuple(branches)), end

    def _ids(self, text: str, *, is_first: bool) -> list[int]:
        if is_first:
            return text_ids(self._tokenizer, text)
        return token_ids(self._tokenizer, text, special_tokens=False) if text else []

    def _error(self, what: str, mark: "re.Match[str]", hint: str) -> DataError:
        line = self._line + self._text.count("\n", 0, mark.start())
        return DataError(f"{self._name or 'prompt'}:{line}: {what}", hint=hint)


def choices_of(example: Example) -> list[str]:
    """Return the strings of a row's field `choices`, which may follow its text; none without it.

    Raises:
        BadRows: the field is no list of texts.
    """
    found = example.fields.get("choices") or []
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise BadRows(f"{example.source}: choices is {found!r:.60}; expected a list of texts")
    return list(found)


def answer_ids(tokenizer: Any, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Return texts that follow a prompt as token ids.

    Raises:
        DataError: one of them is empty.
    """
    found = [tuple(token_ids(tokenizer, text, special_tokens=False)) for text in texts]
    empty = [i + 1 for i, ids in enumerate(found) if not ids]
    if empty:
        raise DataError(f"choices {empty} hold no tokens", hint="leave out empty choices")
    return found
