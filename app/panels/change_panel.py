"""Change the model at one place and see what it does to the text and to the answer."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.panels.figure_panel import show_figure
from app.panels.methods_panel import is_known
from app.panels.probe_panel import cost_words
from app.panels.result_panel import show_result
from app.panels.run_panel import result_of
from app.panels.session import layer, model_ref, position, store
from app.panels.strip_panel import show_still_strip
from app.panels.table_panel import show_table
from app.panels.wording import plain_markdown, verdict_html
from workbench.figures.grid_plot import draw_map
from workbench.figures.theme import in_frame
from workbench.result.grid import grids_of
from workbench.result.result import Result
from workbench.result.tables import Table
from workbench.result.views import TokenStrip
from workbench.runs.expected import expected_cost
from workbench.runs.models import shared_model
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, RunSpec

EDIT, TEMPERATURE = "edit", "edit temperature"
_PLACE = "change"
_METHOD, _STEER = "edit-effect", "steering"
_HEAD, _MLP, _ATTENTION = (
    "Ablate a head",
    "Ablate a feed-forward block",
    "Ablate an attention block",
)
_DIRECTION, _TYPED = "Add a direction that a run found", "An edit as it is typed"
_KIND = "change kind"
_SITES = {_MLP: "mlp_out", _ATTENTION: "attn_out"}


def show_change(text: str) -> None:
    """Draw the form of a change and, once asked for, both answers side by side."""
    title = "Change it: take a part away or add a direction, and write again"
    asked = str(st.session_state.get(EDIT) or "")
    with st.expander(title, expanded=bool(asked), key=_PLACE, on_change="rerun") as place:
        if place.open:
            _changing(text, asked)


def _changing(text: str, asked: str) -> None:
    edit = _form()
    a, b = st.columns(2)
    temperature = a.slider(
        "Temperature, 0 is greedy", 0.0, 2.0, _temperature(), 0.1, key="change temperature"
    )
    tokens = b.slider("Tokens that are written", 4, 96, 24, 4, key="change tokens")
    options = {"edits": [edit], "temperature": temperature, "tokens": tokens}
    spec = _spec(_METHOD, text, options)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        pressed = st.button("Write before and after", type="primary", disabled=not edit)
        st.caption(plain_markdown(cost_words(expected_cost(spec, store()))), width="content")
        if asked:
            st.button("Take the change back", on_click=lambda: _keep("", 0.0))
    if pressed:
        _keep(edit, temperature)
        asked = edit
    if asked:
        options |= {"edits": [asked], "temperature": _temperature()}
        _answer(_spec(_METHOD, text, options), asked, pressed=pressed)


def _answer(spec: RunSpec, asked: str, *, pressed: bool) -> None:
    """Show what a change did; one that only the address asks for waits for the button."""
    if not pressed and not is_known(spec):
        st.info(plain_markdown(f"The change {asked} was not run on this text yet."))
        return
    run = result_of(spec, key="change")
    if run is not None and run.result is not None:
        _show_effect(run)


def show_from_here(text: str) -> None:
    """Offer what begins at the chosen cell: patch its layer, find a direction to steer by there."""
    row = layer()
    if row is None or row < 0:
        return
    jobs = {
        "Patch from here": _spec(
            "patching", text, {"at": "resid_post", "layers": str(row), "metric": "kl"}
        ),
        "Steer from here": RunSpec(
            name=_STEER,
            options={"layer": row},
            model=model_ref(),
            data=DataRef(path="shipped:contrast_sentiment.jsonl", label="label", group="pair"),
        ),
    }
    asked: set[str] = st.session_state.setdefault("from here", set())
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for label, spec in jobs.items():
            words = cost_words(expected_cost(spec, store()))
            st.button(label, help=plain_markdown(words), on_click=_asker(spec.hash), key=label)
        st.button("Ablate this block", on_click=_filler(row), key="ablate here")
    for label, spec in jobs.items():
        if spec.hash in asked:
            run = result_of(spec, key=label)
            if run is not None and run.result is not None:
                show_result(run.result, key=f"here {run.run_id}")


def _asker(hash_: str) -> Callable[[], None]:
    return lambda: st.session_state["from here"].add(hash_)


def _filler(row: int) -> Callable[[], None]:
    def fill() -> None:
        st.session_state[_KIND], st.session_state[_PLACE] = _MLP, True
        st.session_state[f"change layer {row}"] = row

    return fill


def _keep(edit: str, temperature: float) -> None:
    st.session_state[EDIT], st.session_state[TEMPERATURE] = edit, str(temperature)


def _temperature() -> float:
    try:
        return min(max(float(st.session_state.get(TEMPERATURE) or 0.0), 0.0), 2.0)
    except ValueError:
        return 0.0


def _spec(name: str, text: str, options: dict[str, Any]) -> RunSpec:
    return RunSpec(
        name=name, options=options, model=model_ref(), data=DataRef(texts=(text,)), max_tokens=256
    )


def _form() -> str:
    """Draw what is changed and where; return it as an edit, empty while something is missing."""
    spec = shared_model(model_ref()).spec
    kinds = [_HEAD, _MLP, _ATTENTION, _DIRECTION, _TYPED]
    a, b, c = st.columns([3, 1, 2])
    kind = a.selectbox("Change", kinds, key=_KIND)
    if kind == _TYPED:
        typed = c.text_input(
            "Edit",
            value=str(st.session_state.get(EDIT, "")),
            placeholder="scale:mlp_out.3:0.5",
            help="Operation, site and value, as the documentation of interventions has them.",
        )
        return typed.strip()
    if kind == _DIRECTION:
        runs = [str(r["run_id"]) for r in store().find(kind="probe", name=_STEER).rows()]
        if not runs:
            c.caption("No run found a direction yet: choose a cell, then Steer from here.")
            return ""
        dose = b.number_input("Dose", -20.0, 20.0, 1.0, 0.5)
        return f"run:{c.selectbox('Run', runs)}:{dose:g}"
    last = spec.n_layers - 1
    chosen = layer()
    start = min(max(chosen if chosen is not None else spec.n_layers // 2, 0), last)
    at = b.number_input("Layer", 0, last, start, key=f"change layer {chosen}")
    if kind == _HEAD:
        return f"ablate:z.{at}@{c.number_input('Head', 0, spec.n_heads - 1, 0)}"
    return f"ablate:{_SITES[kind]}.{at}"


def _show_effect(run: Run) -> None:
    found: Result | None = run.result
    if found is None:
        return
    st.html(verdict_html(found.summary, "1.15rem"))
    steps = found.table("steps")
    sides = (("before", "p_before", "Before"), ("after", "p_after", "After"))
    for place, (token, color, heading) in zip(st.columns(2), sides, strict=True):
        with place:
            st.markdown(f"**{heading}**")
            table = Table(steps.frame[steps[token] != ""], steps.columns)
            view = TokenStrip(
                title=heading, table="steps", token=token, color=color, flag="differs"
            )
            show_still_strip(table, view, key=f"change {heading} {run.run_id}")
    st.caption("Coloured by probability; an orange underline marks tokens that differ.")
    (grid,) = grids_of(found)[:1]
    figure = in_frame(draw_map(grid, "moved"), position())
    show_figure(figure, key="change map", alt="Map of what the edit changes")
    st.caption(
        "How far the edit turns the state of each layer and token: 1 − cosine, 0 is unmoved."
    )
    show_table(found.table("answers"), name="answers", key="change answers")
    for note in found.notes:
        st.caption(plain_markdown(note.text))
