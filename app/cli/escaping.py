"""Text of users and models made safe to print: nothing in it can steer a terminal."""

import os
import re
import unicodedata

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
# Marks that reorder what follows on the screen, so that text reads as something it is not.
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_OPEN_BOX = "␣"
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def visible(text: str, *, keep_newlines: bool = False) -> str:
    """Write control, reordering and unassigned characters as escapes; leave the rest alone."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if keep_newlines and char == "\n" else _shown(char) if _is_unsafe(char) else char
        for char in text
    )


def visible_cell(text: str) -> str:
    """Write text on one line, with the blanks at its ends drawn as open boxes."""
    safe = visible(text)
    inner = safe.strip(" ")
    left = len(safe) - len(safe.lstrip(" "))
    right = 0 if not inner else len(safe) - left - len(inner)
    return _OPEN_BOX * left + inner + _OPEN_BOX * right


def typed(argument: str) -> str:
    """Return an argument as it was typed, where the terminal's encoding could not read it."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def escaped_json(text: str) -> str:
    """Escape what JSON allows raw but a terminal or a UTF-8 stream does not take."""
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _is_unsafe(char: str) -> bool:
    if char in _REORDERING or char in "\u2028\u2029\ufeff":
        return True
    return unicodedata.category(char) in ("Cc", "Cs", "Cn")


def _shown(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
