"""What the Prompt page shows, kept in its address: text, position, layer, and what colours them."""

import streamlit as st

from app.panels.beside_panel import LAYER as BESIDE_LAYER
from app.panels.beside_panel import MODEL as BESIDE_MODEL
from app.panels.beside_panel import TEXT as BESIDE_TEXT
from app.panels.change_panel import EDIT, TEMPERATURE
from app.panels.grid_panel import MAP
from app.panels.session import choose_prompt, layer, position, prompt, store
from app.panels.strip_panel import STRIP
from workbench.errors import WorkbenchError

LONGEST_TEXT = 1500
_TEXT, _RUN = "prompt", "prompt_of"
_PROBLEMS = "problems of the address"
_NUMBERS = {"position": "position", "layer": "layer"}
_NAMES = {
    "map": MAP,
    "strip": STRIP,
    "edit": EDIT,
    "temperature": TEMPERATURE,
    "beside": BESIDE_TEXT,
    "beside_model": BESIDE_MODEL,
    "beside_layer": BESIDE_LAYER,
}


def read_address() -> list[str]:
    """Take over what the address of a freshly opened page asks for; return what is not there."""
    known: list[str] | None = st.session_state.get(_PROBLEMS)
    if known is None:
        known = st.session_state[_PROBLEMS] = _read()
    return known


def _read() -> list[str]:
    problems = _read_text()
    for field, key in _NUMBERS.items():
        asked = st.query_params.get(field)
        if asked is None:
            continue
        if asked.isdecimal():
            st.session_state.setdefault(key, int(asked))
        else:
            problems.append(f"{field} {asked!r} is no whole number")
    for field, key in _NAMES.items():
        if asked := st.query_params.get(field):
            st.session_state.setdefault(key, asked)
    return problems


def write_address(run_id: str = "") -> None:
    """Write what is shown into the address; a long text is named by the run that read it."""
    text = prompt()
    is_short = len(text) <= LONGEST_TEXT
    found = {
        _TEXT: text if is_short else "",
        _RUN: "" if is_short else run_id,
        "position": "" if position() is None else str(position()),
        "layer": "" if layer() is None else str(layer()),
        **{field: str(st.session_state.get(key, "")) for field, key in _NAMES.items()},
    }
    for field, value in found.items():
        if value:
            if st.query_params.get(field) != value:
                st.query_params[field] = value
        elif field in st.query_params:
            del st.query_params[field]


def unknown(field: str, known: list[str]) -> str | None:
    """Return what is wrong with a name the address gave, None where it is known."""
    asked = st.session_state.get(_NAMES[field])
    if asked is None or asked in known:
        return None
    return f"{field} {asked!r} is none of {', '.join(known)}"


def _read_text() -> list[str]:
    run_id = st.query_params.get(_RUN)
    if not run_id or _TEXT in st.query_params:
        return []
    try:
        texts = store().get(run_id).spec.data.texts
    except WorkbenchError as error:
        return [error.message]
    if not texts:
        return [f"run {run_id!r} read no text of this page"]
    choose_prompt(texts[0])
    return []
