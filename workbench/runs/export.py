"""One stored run as files that other programs read."""

import io
import json
import zipfile
from html import escape
from pathlib import Path

from workbench.errors import BadOption, DataError, UnknownName
from workbench.result.tables import Table
from workbench.runs.run import Run
from workbench.runs.store import Store

FORMATS = ("json", "csv", "parquet", "html", "zip")

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}"
    "table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.15rem .6rem;text-align:right;"
    "border-bottom:1px solid #8884}pre{background:#8881;padding:1rem;overflow:auto}"
)


def exported(store: Store, run_id: str, form: str, *, table: str | None = None) -> dict[str, bytes]:
    """Return the files of one run in a format, by name.

    `json`, `html` and `zip` are one file that holds the whole run; `csv` and `parquet` are one
    file per table, or only `table`.

    Raises:
        BadOption: the format does not exist, or has no use for `table`.
        UnknownName: the run has no such table.
        DataError: the run holds no table.
        CorruptRun: a stored file is missing or was changed.
    """
    if form not in FORMATS:
        raise BadOption(f"format is {form!r}; expected one of {', '.join(FORMATS)}")
    run = store.get(run_id)
    if form in ("csv", "parquet"):
        return {f"{name}.{form}": _table_bytes(found, form) for name, found in _chosen(run, table)}
    if table is not None:
        raise BadOption(f"{form} holds every table", hint="leave out the table, or choose csv")
    if form == "zip":
        return {f"{run_id}.zip": _zipped(store.path(run_id))}
    text = run_json(run) if form == "json" else run_html(run)
    return {f"{run_id}.{form}": text.encode("utf-8", errors="backslashreplace")}


def run_json(run: Run) -> str:
    """Write a run as one JSON document: everything but the arrays."""
    return json.dumps(run.as_dict(), indent=1, default=str) + "\n"


def run_html(run: Run) -> str:
    """Write a run as one page that needs nothing else: charts, tables, notes and its spec."""
    result = run.result
    problem = f"<p>{escape(run.failure.message)}</p>" if run.failure else ""
    body = _charts(run) + result._repr_html_() if result else ""
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{escape(run.run_id)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(run.run_id)}</h1><p>{escape(run.status)}</p>{problem}{body}"
        f"<h2>The same run again</h2><pre>{escape(run.spec.to_toml())}</pre>"
        f"<h2>Provenance</h2><pre>{escape(json.dumps(dict(run.provenance), indent=1, default=str))}"
        "</pre></body></html>\n"
    )


def _charts(run: Run) -> str:
    from workbench.figures.draw import draw_all

    figures = draw_all(run.result) if run.result else []
    return "".join(
        figure.to_html(full_html=False, include_plotlyjs=not i) for i, figure in enumerate(figures)
    )


def _chosen(run: Run, name: str | None) -> list[tuple[str, Table]]:
    tables = dict(run.result.tables) if run.result else {}
    if not tables:
        raise DataError(f"run {run.run_id} holds no table", hint="export it as json")
    if name is None:
        return list(tables.items())
    if name not in tables:
        raise UnknownName(f"run {run.run_id} has no table {name!r}; it has {', '.join(tables)}")
    return [(name, tables[name])]


def _table_bytes(table: Table, form: str) -> bytes:
    if form == "csv":
        text: str = table.frame.to_csv(index=False, lineterminator="\n")
        return text.encode()
    stream = io.BytesIO()
    table.frame.to_parquet(stream, index=False)
    return stream.getvalue()


def _zipped(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, Path(folder.name) / path.relative_to(folder))
    return stream.getvalue()
