"""Rows that could not be used, told beside the numbers of the others."""

from collections.abc import Sequence
from dataclasses import replace

from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.runs.reading import BadRow


def with_bad_rows(result: Result, bad: Sequence[BadRow]) -> Result:
    """Return the result with a table that names the rows which could not be used."""
    if not bad:
        return result
    rows = [{"source": _unicode(row.source), "reason": _unicode(row.reason)} for row in bad]
    columns = {"source": Column(help="File and line."), "reason": Column(help="What is wrong.")}
    note = Note(
        f"{len(bad)} rows could not be used; table bad_rows names each", "warning", "bad-rows"
    )
    tables = {**result.tables, "bad_rows": Table.from_rows(rows, columns)}
    return replace(result, tables=tables, notes=(*result.notes, note))


def _unicode(text: str) -> str:
    # Names of files and fields may hold bytes that no table can.
    return text.encode(errors="backslashreplace").decode()
