"""What is printed: data on standard output, everything else on standard error."""

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from app.cli.escaping import escaped_json, visible
from workbench.errors import InputError, WorkbenchError

if TYPE_CHECKING:
    from rich.console import Console

    from app.cli.layout import Block
    from workbench.result.tables import Table


WIDE = 140


class Form(StrEnum):
    """How data is written to standard output."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def takes_form(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a listing command the flags `--json` and `--csv`, passed on as `form`."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
    @wraps(command)
    def wrapped(*args: Any, as_json: bool, as_csv: bool, **kwargs: Any) -> Any:
        if as_json and as_csv:
            raise InputError("--json and --csv were both given", hint="choose one")
        form = Form.JSON if as_json else Form.CSV if as_csv else Form.TABLE
        return command(*args, form=form, **kwargs)

    return wrapped


def console(*, err: bool = False) -> "Console":
    """Return a console that prints text as it is: no markup, no emoji codes, no highlighting."""
    from rich.console import Console

    return Console(stderr=err, markup=False, emoji=False, highlight=False, soft_wrap=False)


def say(text: str, *, style: str = "") -> None:
    """Write one message to standard error."""
    from rich.text import Text

    console(err=True).print(Text(visible(text, keep_newlines=True), style=style), soft_wrap=True)


def say_error(error: WorkbenchError, *, word: str = "error") -> None:
    """Write an error and its hint to standard error."""
    say(f"{word}: {error.message}", style="red")
    if error.hint:
        say(f"  try: {error.hint}")


def write_json(values: Any) -> None:
    """Write one JSON document; numbers that JSON cannot hold become null."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "")
    text = json.dumps(
        _json_value(values), indent=1, ensure_ascii=encoding != "utf8", allow_nan=False
    )
    click.echo(escaped_json(text))


def write_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV with a header; a terminal gets control characters as escapes."""
    names = list(columns or (rows[0] if rows else ()))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_cell(row.get(name)) for name in names})
    text = stream.getvalue()
    click.echo(visible(text, keep_newlines=True) if sys.stdout.isatty() else text, nl=False)


def write_table(
    table: "Table", form: Form, *, empty: str = "nothing", narrow: Sequence[str] = ()
) -> None:
    """Write one table in the asked-for form.

    `empty` is said when it has no rows; a narrow terminal shows the columns `narrow` only.
    """
    names = [str(name) for name in table.frame.columns]
    if form is Form.JSON:
        write_json(table.rows())
    elif form is Form.CSV:
        write_csv(table.rows(), names)
    elif not len(table):
        say(empty)
    else:
        is_narrow = console().width < WIDE
        show_table(table.pick(narrow) if narrow and is_narrow else table, wrap=True)


def write_rows(
    rows: Sequence[Mapping[str, Any]],
    form: Form,
    *,
    empty: str = "nothing",
    narrow: Sequence[str] = (),
) -> None:
    """Write plain rows as `write_table` does."""
    if form is Form.JSON:
        write_json(list(rows))
    elif form is Form.CSV:
        write_csv(rows)
    elif not rows:
        say(empty)
    else:
        from app.cli.layout import blocks

        out = console()
        names = narrow if narrow and out.width < WIDE else tuple(rows[0])
        _print_blocks(blocks(rows, names, {}, width=out.width, wrap=True))


def show_table(
    table: "Table",
    *,
    title: str = "",
    most_rows: int = 40,
    most_blocks: int | None = None,
    wrap: bool = False,
) -> tuple[str, ...]:
    """Draw a table on standard output, cut into blocks where it is wider than the terminal.

    Returns the columns left out because there were more than `most_blocks` blocks.
    """
    from rich.text import Text

    from app.cli.layout import blocks

    out = console()
    if title:
        n = f"{len(table)} rows" if len(table) > most_rows else ""
        out.print(Text.assemble((visible(title), "bold"), f"  {n}" if n else ""))
    names = [str(name) for name in table.frame.columns]
    cut = blocks(
        table.rows(), names, table.columns, width=out.width, most_rows=most_rows, wrap=wrap
    )
    _print_blocks(cut[:most_blocks])
    seen = {name for block in cut[:most_blocks] for name in block.names}
    return tuple(name for block in cut for name in block.names if name not in seen)


def _print_blocks(cut: "Sequence[Block]") -> None:
    out = console()
    for block in cut:
        out.print(_drawn(block))
        out.print()


def _drawn(block: "Block") -> Any:
    from rich import box
    from rich.table import Table as Drawing
    from rich.text import Text

    drawing = Drawing(
        box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, expand=False
    )
    for header, right, width in zip(block.headers, block.numeric, block.widths, strict=True):
        drawing.add_column(
            Text(header), justify="right" if right else "left", width=width, overflow="fold"
        )
    for row in block.rows:
        drawing.add_row(*(Text(cell) for cell in row))
    return drawing


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(k): _json_value(v) for k, v in value.items()}
    if hasattr(value, "tolist"):
        return _json_value(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_value(v) for v in value]
    return str(value)


def _csv_cell(value: Any) -> Any:
    value = _json_value(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
