"""Files whose cells a sign parts, record by record; what cannot be read is said in words."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

csv.field_size_limit(2**30)


def separator_of(header: str) -> str:
    """Return what parts the names of a header, the first sign that it has; "" for none."""
    return next((sign for sign in ",;\t" if sign in header), "")


def numbered(names: Sequence[str]) -> list[str]:
    """Number the columns whose name an earlier one has, so that none is lost."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(f"{name}.{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def separated(
    lines: Iterable[str], separator: str, *, is_literal: bool
) -> Iterator[tuple[int, int, list[str] | str]]:
    """Yield first line, last line and cells of every record, or in their place what is wrong.

    With `is_literal`, quotation marks are characters of the text.
    """
    quoting: Literal[0, 3] = csv.QUOTE_NONE if is_literal else csv.QUOTE_MINIMAL
    # Strict: a quote that is never closed would otherwise swallow the rest of the file in silence.
    reader = csv.reader(lines, delimiter=separator, quoting=quoting, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = reader.line_num
            where = f" in lines {first} to {last}" if last > first else ""
            yield first, last, f"not valid CSV{where}: {error}"
            continue
        if cells:
            yield first, reader.line_num, cells
