"""Files that may be packed with gzip: their format and their bytes."""

import gzip
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO

Stream = BufferedIOBase | BinaryIO  # in this order: a packed file fails to say its mode
UNREADABLE = (OSError, EOFError, zlib.error)  # what reading a missing or damaged file raises


def format_of(path: Path) -> str:
    """Return the ending that tells the format, without a `.gz` behind it."""
    return Path(path.stem if _is_packed(path) else path.name).suffix.lower()


def opened(path: Path) -> Stream:
    """Open a file for its bytes, unpacked."""
    return gzip.open(path, "rb") if _is_packed(path) else path.open("rb")


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"
