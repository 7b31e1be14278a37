"""Rows streamed from a file in chunks, one chunk per shard."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from workbench.methods.contracts import Example
from workbench.runs.reading import BadRow, no_usable_row, read_rows
from workbench.runs.spec import DataRef

Row = Example | BadRow


@dataclass(frozen=True, kw_only=True)
class RowCount:
    """How many rows a file holds, good ones and all, and characters; `first` is a good row."""

    n_good: int
    n_rows: int
    n_characters: int
    first: Example

    def n_shards(self, shard_rows: int) -> int:
        """Return the number of shards of that many rows."""
        return -(-self.n_rows // shard_rows)


def count_rows(data: DataRef) -> RowCount:
    """Read the file once without keeping it.

    Raises:
        DataError: the file cannot be read, or there is not one good row.
    """
    n_good = n_rows = n_characters = 0
    first: Example | None = None
    bad: list[BadRow] = []
    for row in read_rows(data):
        n_rows += 1
        if isinstance(row, Example):
            n_good += 1
            n_characters += len(row.text)
            first = first or row
        elif len(bad) < 5:
            bad.append(row)
    if first is None:
        raise no_usable_row(data, bad)
    return RowCount(n_good=n_good, n_rows=n_rows, n_characters=n_characters, first=first)


def chunks(data: DataRef, size: int) -> Iterator[tuple[Row, ...]]:
    """Yield the rows in order, `size` at a time; only one chunk is in memory."""
    rows = read_rows(data)
    while chunk := tuple(islice(rows, size)):
        yield chunk


def shards_of(
    data: DataRef, size: int, numbers: Collection[int]
) -> Iterator[tuple[int, tuple[Row, ...]]]:
    """Yield the rows of those shards only, in order, each with its number."""
    wanted = set(numbers)
    for number, rows in enumerate(chunks(data, size)):
        if number in wanted:
            wanted.discard(number)
            yield number, rows
        if not wanted:
            return


def sample(data: DataRef, limit: int) -> list[Example]:
    """Return the good ones of the first rows."""
    few = min(limit, data.limit or limit)
    return [row for row in read_rows(replace(data, limit=few)) if isinstance(row, Example)]
