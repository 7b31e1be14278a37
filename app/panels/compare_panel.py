"""Two runs side by side, their differences drawn."""

import streamlit as st

from app.panels.figure_panel import show_figure, show_view
from app.panels.table_panel import show_table
from app.panels.wording import plain_html, plain_markdown
from workbench.figures.compare import (
    draw_difference,
    draw_estimate_pairs,
    estimate_differences,
)
from workbench.result.result import Result
from workbench.runs.run import Run


def show_comparison(pair: tuple[Run, Run]) -> None:
    """Show what two runs found, how their specs differ, and the second minus the first."""
    names = run_names(pair)
    left, right = st.columns(2)
    for place, run, name in zip((left, right), pair, names, strict=True):
        with place:
            st.markdown(f"#### {plain_markdown(name)}")
            st.caption(plain_markdown(run.run_id))
            words = run.result.summary if run.result else "No result."
            st.html(f"<p>{plain_html(words)}</p>")
    _settings(pair, names)
    if pair[0].result is None or pair[1].result is None:
        st.info("Only runs with a result can be compared.")
        return
    _differences((pair[0].result, pair[1].result), names)


def run_names(pair: tuple[Run, Run]) -> tuple[str, str]:
    """Name two runs by what tells them apart: model, probe, or just first and second."""
    for words in (
        [run.spec.model.name if run.spec.model else "no model" for run in pair],
        [run.spec.name for run in pair],
        [run.spec.model.backend if run.spec.model else "" for run in pair],
        [run.spec.data.path.rpartition("/")[2] for run in pair],
    ):
        if words[0] != words[1] and all(words):
            return words[0], words[1]
    return "first", "second"


def setting_rows(pair: tuple[Run, Run], names: tuple[str, str]) -> list[dict[str, str]]:
    """List every setting in which two specs differ."""
    flat = [_flat(run.spec.as_dict()) for run in pair]
    return [
        {"setting": key, names[0]: flat[0].get(key, "–"), names[1]: flat[1].get(key, "–")}
        for key in dict.fromkeys([*flat[0], *flat[1]])
        if flat[0].get(key) != flat[1].get(key)
    ]


def _settings(pair: tuple[Run, Run], names: tuple[str, str]) -> None:
    from workbench.result.tables import Table

    rows = setting_rows(pair, names)
    st.markdown("**Settings that differ**")
    if rows:
        show_table(Table.from_rows(rows), name="settings", key="compare")
    else:
        st.caption("None: this is one spec.")


def _differences(pair: tuple[Result, Result], names: tuple[str, str]) -> None:
    st.markdown(f"**Differences: {plain_markdown(names[1])} minus {plain_markdown(names[0])}**")
    table = estimate_differences(pair, names=names)
    if len(table):
        show_table(table, name="differences", key="compare")
    figure = draw_estimate_pairs(pair, names=names)
    if figure is not None:
        show_figure(figure, key="compare estimates")
    for i, view in enumerate(pair[0].views):
        difference = draw_difference(pair, view, names=names)
        if difference is not None:
            show_figure(difference, key=f"compare {i}")
            continue
        sides = st.columns(2)
        for k, (place, result) in enumerate(zip(sides, pair, strict=True)):
            if view in result.views:
                with place:
                    show_view(result, view, key=f"compare {i} side {k}")


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = str(value)
    return found
