"""Any probe that measures tokens, over the text of the page: its strip and its map."""

from collections.abc import Sequence

import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.run_panel import result_of
from app.panels.session import model_ref, position
from app.panels.strip_panel import show_strip
from app.panels.wording import plain_markdown
from workbench.figures.grid_plot import draw_map, strip_table
from workbench.figures.theme import marked
from workbench.result.grid import Grid, grids_of
from workbench.result.tables import Column
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.text_grid import every_token, grid_probes


def show_any_grid(text: str, *, longest: int) -> None:
    """Let the user choose a probe, run it at every token, and draw what it measured."""
    st.markdown("**Any probe, at every token of this text**")
    known = {plugin.name: plugin for plugin in grid_probes()}
    name = st.selectbox(
        "Probe at every token",
        list(known),
        index=None,
        placeholder="Choose a probe",
        label_visibility="collapsed",
    )
    if name is None:
        return
    st.caption(plain_markdown(known[name].summary))
    spec = RunSpec(
        name=name,
        options=every_token(known[name]),
        model=model_ref(),
        data=DataRef(texts=(text,)),
        max_tokens=longest,
    )
    run = result_of(spec, key=f"grid {name}")
    grids = grids_of(run.result) if run is not None and run.result is not None else ()
    if grids:
        _show(grids[0], name)


def _show(grid: Grid, probe: str) -> None:
    strip = _chosen("Tokens coloured by", tuple(grid.strips), f"strip {probe}")
    table, view = strip_table(grid, strip)
    show_strip(table, view, key=f"grid strip {probe} {strip}", selected=position())
    _say(grid, strip)
    if grid.maps:
        metric = _chosen("Layers and tokens coloured by", tuple(grid.maps), f"map {probe}")
        words = next(iter(grid.words), "")
        show_figure(marked(draw_map(grid, metric, words), position()), key=f"grid map {probe}")
        _say(grid, metric)


def _chosen(label: str, names: Sequence[str], key: str) -> str:
    found: str = st.selectbox(label, names, key=key)
    return found


def _say(grid: Grid, metric: str) -> None:
    about = grid.columns.get(metric, Column())
    unit = f" In {about.unit}." if about.unit else ""
    st.caption(plain_markdown(f"{about.help}{unit}"))
