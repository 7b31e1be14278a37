"""A result, always in the same order: sentence, figure, table, notes, how to repeat it."""

import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from app.panels.figure_panel import show_views
from app.panels.problem_panel import show_failure
from app.panels.reproduce import as_command, as_python, as_toml
from app.panels.table_panel import show_table
from app.panels.wording import duration, page_words, plain_html, plain_markdown, short, verdict_html
from workbench.errors import WorkbenchError
from workbench.figures.theme import number
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.runs.run import Run

_STATUS = {
    "complete": "",
    "partial": "Some rows could not be used, or some fits gave nothing; the notes name them.",
    "interrupted": "This run was stopped early; the result covers what was done by then.",
}


def show_run(run: Run, *, key: str = "", beside: Callable[[], None] | None = None) -> None:
    """Show one run as a page; `beside` draws what stands to the right of its first figure."""
    key = key or run.run_id
    if run.failure is not None and (run.result is None or run.status == "failed"):
        show_failure(run.failure, heading=f"Run {run.status}")
    if run.result is not None:
        if _STATUS.get(run.status):
            st.info(plain_markdown(_STATUS[run.status]))
        show_result(run.result, key=key, beside=beside)
    _reproduce(run, key)


def show_result(
    result: Result,
    *,
    key: str,
    beside: Callable[[], None] | None = None,
    is_small: bool = False,
) -> None:
    """Show a result: sentence, figures, estimates, tables, notes; a small one folds its numbers."""
    size = "1rem" if is_small else "1.25rem"
    st.html(verdict_html(result.summary, size))
    show_views(result, key=key, beside=beside)
    if is_small:
        with st.expander("Numbers and tables", key=f"{key} numbers"):
            _numbers(result, key)
    else:
        _numbers(result, key)


def _numbers(result: Result, key: str) -> None:
    if result.estimates:
        st.markdown("**Estimates**")
        exact = Table.from_rows(e.as_dict() for e in result.estimates)
        show_table(estimate_table(result), name="estimates", key=key, whole=exact)
    if result.tables:
        _tables(result, key)
    _notes(result)


def estimate_table(result: Result) -> Table:
    """Return the estimates as a table, undefined ones with the reason in `note`."""
    rows: list[dict[str, Any]] = [
        {
            "estimate": f"{e.name} ({e.unit})" if e.unit else e.name,
            "value": number(e.value, e.low, e.high),
            "interval": _interval(e.low, e.high, e.level),
            "control": number(e.control, e.low, e.high),
            "null": e.control_name,
            "n": f"{e.n} {e.n_unit}",
            "method": e.method,
            "note": e.note,
        }
        for e in result.estimates
    ]
    kept = [name for name in rows[0] if any(row[name] not in ("", "–") for row in rows)]
    helps = {
        "interval": "The range that holds the value at the level given.",
        "control": "The same quantity under the null, which the next column names.",
        "n": "Independent units, never tokens.",
    }
    return Table.from_rows(
        [{name: row[name] for name in kept} for row in rows],
        {name: Column(help=words) for name, words in helps.items() if name in kept},
    )


def _interval(low: float | None, high: float | None, level: float) -> str:
    if low is None or high is None:
        return ""
    return f"[{number(low, low, high)}, {number(high, low, high)}] at {level:.0%}"


def _tables(result: Result, key: str) -> None:
    names = list(result.tables)
    st.markdown("**Tables**")
    places = st.tabs([plain_markdown(name.replace("_", " ")) for name in names])
    for place, name in zip(places, names, strict=True):
        with place:
            show_table(result.tables[name], name=name, key=key)


def _notes(result: Result) -> None:
    for note in result.notes:
        show = st.warning if note.level == "warning" else st.info
        show(plain_markdown(page_words(note.text)))


def _reproduce(run: Run, key: str) -> None:
    with st.expander("Reproduce", icon=":material/replay:", expanded=True, key=f"{key} again"):
        command, python, toml = st.tabs(["Command line", "Python", "TOML"])
        try:
            command.code(as_command(run.spec), language="bash", wrap_lines=True)
        except WorkbenchError as error:
            command.caption(plain_markdown(error.message))
        python.code(as_python(run.spec), language="python")
        toml.code(as_toml(run.spec), language="toml")
        st.markdown("**Provenance**")
        st.html(_provenance(run))
        st.download_button(
            "Whole run as JSON",
            data=lambda: json.dumps(run.as_dict(), ensure_ascii=False, indent=1).encode(),
            file_name=f"{run.run_id}.json",
            mime="application/json",
            key=f"{key} json",
            icon=":material/download:",
            on_click="ignore",
        )


def _provenance(run: Run) -> str:
    facts = dict(run.provenance)
    model = facts.get("model") or {}
    versions = facts.get("versions") or {}
    rows = {
        "run": run.run_id,
        "model": " ".join(str(model.get(k, "")) for k in ("name", "dtype", "device", "backend")),
        "weights": str(model.get("weights_hash", "")),
        "data": _data_words(run),
        "seed": str(run.spec.seed),
        "started": str(facts.get("started", "")),
        "took": duration(float(facts["seconds"])) if "seconds" in facts else "",
        "hardware": " · ".join(
            filter(None, [facts.get("gpu", ""), f"{facts.get('cpu_threads', '?')} CPU threads"])
        ),
        "platform": f"Python {facts.get('python', '?')} on {facts.get('platform', '?')}",
        "versions": ", ".join(f"{name} {v}" for name, v in versions.items() if v),
        "method": str(facts.get("source", "")),
    }
    cells = "".join(
        f'<tr><th style="text-align:left;padding:.1rem 1rem .1rem 0;font-weight:600;'
        f'vertical-align:top">{name}</th>'
        f'<td style="overflow-wrap:anywhere">{plain_html(value)}</td></tr>'
        for name, value in rows.items()
        if value.strip()
    )
    return f'<table style="font-size:.85rem;border-collapse:collapse">{cells}</table>'


def _data_words(run: Run) -> str:
    data = run.spec.data
    if data.texts:
        more = f" and {len(data.texts) - 1} more" if len(data.texts) > 1 else ""
        return f"“{short(data.texts[0])}”{more}"
    name = data.path or data.activations
    return f"{name} (sha256 {data.sha256[:12]}…)" if data.sha256 else name
