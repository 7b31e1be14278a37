"""The list of stored runs, to filter and to choose from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from app.panels.problem_panel import show_problem
from app.panels.session import store
from app.panels.wording import count
from workbench.errors import WorkbenchError
from workbench.figures.glyphs import visible
from workbench.result.tables import Table

_SHOWN = ("created", "name", "model", "status", "summary", "seconds", "data", "backend", "run_id")
_SEARCHED = ("run_id", "name", "model", "data", "summary")


def choose_runs() -> list[str]:
    """Draw the filters and the list; return the ids of the chosen runs in the list's order."""
    try:
        table = store().find()
    except WorkbenchError as error:
        show_problem(error)
        return []
    if not len(table):
        _empty()
        return []
    frame = _filtered(table)
    st.caption(
        f"{count(len(frame), 'run')} of {len(table)}. Mark one to open it, two to compare them."
    )
    shown = frame[list(_SHOWN)].copy()
    for name in ("name", "model", "status", "summary", "data", "backend"):
        shown[name] = [visible(str(v or ""), blanks=False) for v in shown[name]]
    event: Any = st.dataframe(
        shown,
        hide_index=True,
        column_config=_columns(table),
        on_select="rerun",
        selection_mode="multi-row",
        key="runs list",
        height=min(38 + 35 * max(len(shown), 1), 320),
    )
    return [str(frame.iloc[i]["run_id"]) for i in event.selection.rows if i < len(frame)]


def filtered(frame: pd.DataFrame, chosen: Mapping[str, Sequence[str]], words: str) -> pd.DataFrame:
    """Keep the runs whose columns hold one of the chosen values and whose text holds the words."""
    for name, values in chosen.items():
        if values:
            frame = frame[frame[name].isin(values)]
    if words:
        text = frame[list(_SEARCHED)].fillna("").astype(str).agg(" ".join, axis=1)
        for word in words.split():
            frame = frame[text.loc[frame.index].str.contains(word, case=False, regex=False)]
    return frame


def _filtered(table: Table) -> pd.DataFrame:
    frame = table.frame
    places = st.columns([2, 2, 2, 3])
    chosen = {}
    for place, name in zip(places, ("name", "model", "status"), strict=False):
        values = sorted({str(v) for v in frame[name].dropna() if v})
        label = {"name": "Probe or method"}.get(name, name.capitalize())
        chosen[name] = place.multiselect(label, values, key=f"filter {name}", placeholder="all")
    words = places[3].text_input(
        "Words", key="filter words", placeholder="in the id, data or summary"
    )
    return filtered(frame, chosen, words)


def _columns(table: Table) -> dict[str, Any]:
    config: dict[str, Any] = {
        name: st.column_config.TextColumn(
            name.replace("_", " "), help=table.columns[name].help or None
        )
        for name in _SHOWN
    }
    config["summary"] = st.column_config.TextColumn("what was found", width="large")
    config["seconds"] = st.column_config.NumberColumn("seconds", format="%.1f")
    config["created"] = st.column_config.DatetimeColumn("started (UTC)", format="YYYY-MM-DD HH:mm")
    return config


def _empty() -> None:
    st.info(
        "No run is kept yet. The Prompt page makes two within seconds; the Probe page measures "
        "the prompts that ship with the package."
    )
    left, right = st.columns(2)
    left.page_link("views/overview_view.py", label="Look inside a prompt", icon=":material/chat:")
    right.page_link("views/probe_view.py", label="Run a probe", icon=":material/biotech:")
