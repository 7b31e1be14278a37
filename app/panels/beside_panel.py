"""A second text or a second model beside the one of the page, with the difference drawn."""

from collections.abc import Sequence

import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.methods_panel import Method, grid_of, method_of, show_states
from app.panels.model_loading import LOADER
from app.panels.prompt_panel import LONGEST
from app.panels.session import layer, model_ref, position, prompt
from app.panels.shell import ready
from app.panels.strip_panel import show_still_strip
from app.panels.wording import plain_markdown
from workbench.errors import WorkbenchError
from workbench.figures.curves import draw_curve
from workbench.figures.grid_plot import draw_map, strip_table
from workbench.figures.theme import in_frame, marked, sized
from workbench.result.grid import Grid
from workbench.result.grid_difference import grid_difference, layers_beside
from workbench.result.views import Curve
from workbench.runs.models import shared_model
from workbench.runs.spec import ModelRef
from workbench.runs.text_grid import text_runs

TEXT, MODEL, LAYER = "beside text", "beside model", "beside layer"
_STRIP = "token-trace surprisal"


def show_beside(grid: Grid, metric: str) -> None:
    """Let the user lay another text, model or layer beside what the page shows."""
    asked = any(st.session_state.get(key) for key in (TEXT, MODEL, LAYER))
    with st.expander(
        "Compare: another text, model or layer beside it", expanded=asked, key="beside"
    ):
        with st.form("beside form", border=False):
            a, b, c, d = st.columns([5, 3, 1, 1], vertical_alignment="bottom")
            text = a.text_input("Another text", value=st.session_state.get(TEXT, ""))
            model = b.text_input("Another model", value=st.session_state.get(MODEL, ""))
            row = c.text_input("Layer", value=st.session_state.get(LAYER, ""))
            if d.form_submit_button("Compare"):
                st.session_state[TEXT], st.session_state[MODEL] = text.strip(), model.strip()
                st.session_state[LAYER] = row.strip()
                st.rerun()
        if st.session_state.get(LAYER):
            _layers(grid, metric, str(st.session_state[LAYER]))
        if st.session_state.get(TEXT) or st.session_state.get(MODEL):
            _others(grid, metric)


def _layers(grid: Grid, metric: str, asked: str) -> None:
    here = layer() if layer() in grid.layers else grid.layers[-1]
    if not asked.lstrip("-").isdecimal() or int(asked) not in grid.layers:
        known = f"{grid.layers[0]} to {grid.layers[-1]}"
        st.warning(plain_markdown(f"Layer {asked!r} is not on this map; it has {known}."))
        return
    table = layers_beside(grid, metric, (here or 0, int(asked)))
    names = [str(name) for name in table.frame if name != "position"]
    view = Curve(title=f"{metric}, two layers", table="layers", x="position", y=tuple(names))
    figure = sized(draw_curve(table, view), 340, legend_lines=3)
    show_figure(marked(figure, position()), key="beside layers")


def _others(grid: Grid, metric: str) -> None:
    text = str(st.session_state.get(TEXT) or prompt())
    name = str(st.session_state.get(MODEL) or "")
    ref = ModelRef(name=name) if name else model_ref()
    if not ready(LOADER.model(ref)):
        return
    methods = _methods(text, ref, (metric.split(" ", 1)[0], "token-trace"))
    other = grid_of(methods)
    if other is None:
        show_states(methods)
        return
    sides = ((grid, model_ref().name), (other, ref.name))
    for i, (place, (one, heading)) in enumerate(zip(st.columns(2), sides, strict=True)):
        with place:
            st.markdown(f"**{plain_markdown(heading)}**")
            if _STRIP in one.strips:
                show_still_strip(*strip_table(one, _STRIP), key=f"beside strip {i}")
            if metric in one.maps:
                show_figure(draw_map(one, metric), key=f"beside map {i} {metric}")
    _difference(grid, other, metric)
    show_states(methods)


def _difference(grid: Grid, other: Grid, metric: str) -> None:
    try:
        found = grid_difference(grid, other)
    except WorkbenchError as error:
        st.info(plain_markdown(error.message))
        return
    if metric in found.maps:
        figure = draw_map(found, metric, diverging=True)
        show_figure(in_frame(figure, position()), key=f"beside difference {metric}")
        st.caption(
            "Second less first, on the tokens that both texts share; grey is where there is none."
        )


def _methods(text: str, ref: ModelRef, names: Sequence[str]) -> list[Method]:
    runs = text_runs(text, ref, shared_model(ref), longest=LONGEST)
    known = {**runs.dear, **runs.quick}
    return [method_of(name, known[name]) for name in dict.fromkeys(names) if name in known]
