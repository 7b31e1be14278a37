"""Results and runs drawn as text: summary, estimates, tables, notes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.text import Text

from app.cli.escaping import visible
from app.cli.layout import key_columns, number, with_interval
from app.cli.output import console, show_table
from app.cli.token_map import about, map_lines
from workbench.result.grid import grids_of
from workbench.result.tables import Column, Table
from workbench.result.views import view_to_dict

if TYPE_CHECKING:
    from workbench.result.estimate import Estimate
    from workbench.result.result import Result
    from workbench.runs.run import Run

MOST_ROWS = 40
MOST_BLOCKS = 3
_SEVERAL = 3


def show_run(run: "Run", *, tables: Sequence[str] = (), brief: bool = False) -> None:
    """Draw a run on standard output: what ran on what, and its result.

    Wide tables are cut to the columns that fit a few times beside each other and long ones are
    only named, unless `tables` asks for them. `brief` draws the first table only, once across.

    Raises:
        UnknownName: the result has no such table.
    """
    out = console()
    out.print(Text.assemble((visible(run.run_id), "bold"), f"  {run.status}"))
    out.print(Text(visible(_facts(run)), style="dim"))
    if run.result is None:
        return
    for name in tables:
        _show_one(name, run.result.table(name), most_rows=10**9)
    if not tables:
        left_out = show_result(run.result, brief=brief)
        _name_left_out(run.run_id, left_out)


def _name_left_out(run_id: str, left_out: Sequence[str]) -> None:
    if left_out:
        out = console()
        out.print(Text(f"not shown: {visible(', '.join(left_out))}", style="dim"))
        command = f"  workbench runs show {run_id} --table {left_out[0].split(' ')[0]}"
        out.print(Text(command, style="dim"), soft_wrap=True)


def note_line(text: str, level: str) -> Text:
    """Return a note as one line, warnings marked."""
    style = "yellow" if level == "warning" else "dim"
    return Text(f"{'warning' if level == 'warning' else 'note'}: {visible(text)}", style=style)


def show_result(result: "Result", *, brief: bool = False) -> list[str]:
    """Draw a result on standard output and return what was left out for want of room."""
    out = console()
    out.print(Text(visible(result.summary)))
    out.print()
    if result.estimates and not brief:
        _show_estimates(result.estimates)
    left_out: list[str] = []
    for i, (name, table) in enumerate(result.tables.items()):
        if i > 0 and (brief or len(table) > MOST_ROWS):
            left_out.append(f"{name} ({len(table)} rows)")
        elif len(table):
            ordered = _ordered(name, table, result)
            most = 1 if brief else MOST_BLOCKS
            columns = _show_one(name, ordered, most_rows=MOST_ROWS, most_blocks=most)
            if columns:
                left_out.append(f"{name} ({len(columns)} more columns)")
    if not brief:
        _show_map(result)
    for note in result.notes:
        out.print(note_line(note.text, note.level))
    return left_out


def _show_map(result: "Result") -> None:
    """Draw what a method measured at every layer and token, where it shows one text."""
    shown = grids_of(result)
    if len(shown) != 1 or not shown[0].maps:
        return
    out, name = console(), next(iter(shown[0].maps))
    for line in map_lines(shown[0], name, out.width):
        out.print(line, no_wrap=True, overflow="crop")
    told = about(shown[0], name, shown[0].map(name))
    out.print(Text(f"map: {visible(told)}; layers downwards, positions across", style="dim"))
    out.print()


def _ordered(name: str, table: Table, result: "Result") -> Table:
    # What the method draws is what it is about: those columns come first.
    names = [str(column) for column in table.frame.columns]
    drawn: list[str] = []
    for view in result.views:
        named = view_to_dict(view)
        if named.get("table") == name:
            wanted = [
                column for role in ("x", "y", "control") for column in _tuple(named.get(role))
            ]
            drawn += [column for column in wanted if column in names]
    n = key_columns(table.rows(), names)
    while n < len(names) and not pd.api.types.is_numeric_dtype(table.frame[names[n]]):
        n += 1  # the words beside a key say what the row is
    keys = names[:n]
    return table.pick(list(dict.fromkeys([*keys, *drawn, *names]))) if drawn else table


def _tuple(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _show_one(
    name: str, table: Table, *, most_rows: int, most_blocks: int | None = None
) -> tuple[str, ...]:
    varying, constant = _without_constants(table)
    title = name.replace("_", " ")
    left_out = show_table(varying, title=title, most_rows=most_rows, most_blocks=most_blocks)
    # A control is worth its words only beside what it controls.
    hidden = {name for name, _ in constant if _controlled(name, table) in left_out}
    constant = [(name, value) for name, value in constant if name not in hidden]
    if constant:
        same = ", ".join(f"{column.replace('_', ' ')} {value}" for column, value in constant)
        console().print(Text(f"in every row: {visible(same)}", style="dim"))
        console().print()
    return left_out


def _controlled(name: str, table: Table) -> str:
    """Return the column whose control that one is; older runs tell it by the name alone."""
    column = table.columns.get(name)
    return (column.control_of if column else "") or name.removesuffix("_control")


def _without_constants(table: Table) -> tuple[Table, list[tuple[str, str]]]:
    # What is the same in every row is said once; intervals and the first column always stay.
    if len(table) < _SEVERAL:
        return table, []
    names = [str(name) for name in table.frame.columns]
    bounds = {name for c in table.columns.values() for name in (c.low, c.high) if name}
    rows = table.rows()
    constant = []
    for name in names[1:]:
        values = {str(row[name]) for row in rows}
        column = table.columns.get(name)
        if len(values) == 1 and name not in bounds and not (column and column.low):
            constant.append((name, _with_unit(name, rows[0][name], column)))
    told = {name for name, _ in constant}
    constant = [(name, value) for name, value in constant if value]
    return table.pick(_with_controls([n for n in names if n not in told], table)), constant


def _with_controls(names: Sequence[str], table: Table) -> list[str]:
    """Put every control behind the column that it controls."""
    of = {name: _controlled(name, table) for name in names}
    own = [name for name in names if of[name] == name or of[name] not in names]
    return [one for name in own for one in (name, *(c for c in names if of[c] == name != c))]


def _with_unit(name: str, value: Any, column: Column | None) -> str:
    if value is None or value == "":
        return ""
    unit = column.unit if column and column.unit not in name.split("_") else ""
    words = number(value) if isinstance(value, float) else str(value)
    return f"{words} {unit}".rstrip()


def _show_estimates(estimates: "Sequence[Estimate]") -> None:
    controls = list(dict.fromkeys(e.control_name for e in estimates if e.control is not None))
    marks = {name: chr(ord("a") + i) for i, name in enumerate(controls)}
    counts = {f"{e.n} {e.n_unit}" for e in estimates}
    rows = [_estimate_row(e, marks, with_n=len(counts) > 1) for e in estimates]
    used = [name for name in rows[0] if any(row[name] for row in rows)]
    table = Table.from_rows([{name: row[name] for name in used} for row in rows])
    show_table(table, title="estimates", most_rows=10**9, wrap=True)
    out = console()
    if len(counts) == 1:
        out.print(Text(f"n = {counts.pop()}", style="dim"))
    for name, mark in marks.items():
        words = visible(name or "control")
        out.print(Text(f"{mark}: {words}" if len(marks) > 1 else f"control: {words}", style="dim"))
    out.print()


def _estimate_row(e: "Estimate", marks: dict[str, str], *, with_n: bool) -> dict[str, str]:
    control = ""
    if e.control is not None:
        mark = f" {marks[e.control_name]}" if len(marks) > 1 else ""
        control = f"{number(e.control)}{mark}"
    return {
        "name": e.name,
        "value": with_interval(e.value, e.low, e.high),
        "unit": e.unit,
        "control": control,
        "n": f"{e.n} {e.n_unit}" if with_n else "",
        "note": e.note,
    }


def _facts(run: "Run") -> str:
    model = run.provenance.get("model") or {}
    parts = [
        " ".join(str(model.get(key, "")) for key in ("name", "backend", "dtype", "device")),
        run.spec.data.path or run.spec.data.activations or run.spec.data.task,
        f"seed {run.spec.seed}",
        f"{run.provenance['seconds']} s" if "seconds" in run.provenance else "",
    ]
    return " · ".join(part.strip() for part in parts if part.strip())
