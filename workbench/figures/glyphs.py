"""Text made safe to look at: nothing hidden, nothing interpreted.

Text of a model or a file may hold markup, terminal sequences, control characters and marks that
reorder what stands beside them. Every figure sends such text through `visible` first.
"""

import unicodedata
from html import escape

BLANK, NEWLINE, TAB = "·", "↵", "⇥"

_NAMED = {
    "\u00a0": "⍽",
    "\u00ad": "⟨SHY⟩",
    "\u200b": "⟨ZWSP⟩",
    "\u200c": "⟨ZWNJ⟩",
    "\u200d": "⟨ZWJ⟩",
    "\u200e": "⟨LRM⟩",
    "\u200f": "⟨RLM⟩",
    "\u202a": "⟨LRE⟩",
    "\u202b": "⟨RLE⟩",
    "\u202c": "⟨PDF⟩",
    "\u202d": "⟨LRO⟩",
    "\u202e": "⟨RLO⟩",
    "\u2066": "⟨LRI⟩",
    "\u2067": "⟨RLI⟩",
    "\u2068": "⟨FSI⟩",
    "\u2069": "⟨PDI⟩",
    "\u061c": "⟨ALM⟩",
    "\ufeff": "⟨BOM⟩",
}


def visible(text: str, *, blanks: bool = True) -> str:
    """Return text in which every character shows: blanks, line ends, controls and bidi marks.

    Args:
        text: any string.
        blanks: whether ordinary blanks become middle dots too (line ends and tabs always show).
    """
    return "".join(_show(character, blanks) for character in text)


def cell_text(text: str) -> str:
    """Return text for a table cell: everything shows, blanks as dots only at either end.

    >>> cell_text(" a b ")
    '·a b·'
    """
    safe = visible(text, blanks=False)
    inner = safe.strip(" ")
    left = len(safe) - len(safe.lstrip(" "))
    return BLANK * left + inner + BLANK * (len(safe) - left - len(inner))


def figure_text(text: object, *, blanks: bool = False, limit: int = 0) -> str:
    """Return text that a plotly figure draws letter by letter instead of reading as markup.

    Args:
        text: anything; it is written with `str`.
        blanks: whether ordinary blanks become middle dots.
        limit: cut to that many characters, with an ellipsis; 0 keeps all.
    """
    shown = visible(str(text), blanks=blanks)
    if limit and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return escape(shown, quote=False)


def _show(character: str, blanks: bool) -> str:
    if character == " ":
        return BLANK if blanks else " "
    if character in _NAMED:
        return _NAMED[character]
    if character in "\n\t":
        return NEWLINE if character == "\n" else TAB
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return f"⟨U+{code:04X}⟩"
    return character
