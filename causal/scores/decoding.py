"""From the bytes of a text file to text, saying which encoding was assumed."""

import codecs

from workbench.errors import BadRows
from workbench.result.result import Note

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decode(content: bytes, name: str) -> tuple[str, tuple[Note, ...]]:
    """Decode by byte order mark, else as UTF-8, else as Windows-1252 with a note.

    Raises:
        BadRows: the file holds no text.
    """
    marked = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "")
    encoding = marked or _unmarked(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadRows(
            f"{name} cannot be read as {encoding}: {error.reason} at byte {error.start}",
            hint="save the table as UTF-8",
        ) from error
    if "\x00" in text:
        raise BadRows(f"{name} cannot be read as text: it holds zero bytes", hint="save it as CSV")
    if encoding in ("utf-8", "utf-8-sig"):
        return text, ()
    words = f"{name} is no UTF-8; it was read as {encoding}"
    return text, (Note(words, "info" if marked else "warning", "encoding"),)


def _unmarked(content: bytes) -> str:
    # Numbers and separators are ASCII, so nearly every second byte of UTF-16 is zero.
    zeros = [half.count(0) / max(len(half), 1) for half in (content[:4096:2], content[1:4096:2])]
    if max(zeros) > 0.7 and min(zeros) < 0.1:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        # Windows-1252 leaves five bytes undefined; Latin-1 has a character for each.
        undefined = {0x81, 0x8D, 0x8F, 0x90, 0x9D} & set(content)
        return "latin-1" if undefined else "cp1252"
    return "utf-8"
