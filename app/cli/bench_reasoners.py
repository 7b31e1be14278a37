"""`workbench bench reasoners`: every reasoner on the same problems, seeds and updates."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.bench_report import JSON, count, report
from app.cli.output import show_table
from app.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from workbench.result.tables import Column
    from workbench.runs.bench.reasoners import ReasonerBench

Records = list[dict[str, Any]]
_FACTS = ("preset", "writing", "updates", "cells_filled", "cells_asked", "seeds", "folder")


@click.command(
    name="reasoners",
    epilog="\b\nExample:\n  workbench bench reasoners --preset tiny --folder FOLDER --seeds 1\n"
    "  workbench bench reasoners --folder FOLDER --arms coconut,pause --tasks chained-sums\n"
    "  workbench bench reasoners --folder FOLDER --known shipped --records FILE",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where networks and records are kept; a stopped run goes on from there.",
)
@click.option("--preset", default="cpu", show_default=True, help="Sizes: tiny, cpu or gpu.")
@click.option("--arms", default="", help="Comma-separated; default: all.")
@click.option("--tasks", default="", help="Comma-separated; default: all.")
@count("--seeds", 3, "Random starts of every arm.")
@click.option("--read", is_flag=True, help="Run nothing: read the folder, without one what ships.")
@click.option(
    "--known",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Run no cell that this file of records holds; `shipped` names the one that ships.",
)
@click.option(
    "--records",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what the tables are made of into one small file.",
)
@JSON
def reasoners(
    as_json: bool, read: bool, known: Path | None, records: Path | None, **asked: Any
) -> None:
    """Train small networks to reason in every way, with one budget, and compare them.

    Answers alone, chains in words, sentence vectors, continuous thoughts, pauses, mixtures and
    gates, each with its controls: all begin from one writer of chains, see the same problems and
    make as many updates. What is found is kept arm by arm. The exit code is 1 when no chain in
    words learns its task, as no comparison then says anything.
    """
    from workbench.runs.bench.reasoner_records import write_records
    from workbench.runs.bench.reasoner_report import reasoner_report, table_columns
    from workbench.runs.bench.reasoners import ReasonerBench

    bench = ReasonerBench(**asked)
    cells = _read(bench, known) if read else _run(bench, known)
    if records:
        write_records(bench, cells, records)
    found = reasoner_report(bench, cells)
    columns = table_columns()
    if not as_json:
        for name in ("paired", "replaced", "depth", "sentences"):
            _show(found[name], name, columns.get(name, {}))
    report(found, _FACTS, "accuracy", as_json=as_json, columns=columns["accuracy"])


def _read(bench: "ReasonerBench", known: Path | None) -> Records:
    from workbench.runs.bench.reasoner_records import joined_records, read_records, shipped_records
    from workbench.runs.bench.reasoners import known_records

    if bench.folder:
        return known_records(bench, joined_records(known, bench) if known else ())
    if known is None or known == Path("shipped"):
        return shipped_records(bench)
    return read_records(known, bench)


def _run(bench: "ReasonerBench", known: Path | None) -> Records:
    from workbench.runs.bench.reasoner_records import joined_records
    from workbench.runs.bench.reasoners import bench_reasoners

    joined = joined_records(known, bench) if known else ()
    with ProgressBar() as progress:
        return bench_reasoners(bench, progress, joined)


def _show(rows: list[dict[str, Any]], title: str, columns: "dict[str, Column]") -> None:
    from workbench.result.tables import Table

    if rows:
        table = Table.from_rows(rows, columns)
        show_table(table, title=title, wrap=True, most_rows=len(rows))
