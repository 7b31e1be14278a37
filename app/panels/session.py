"""What one browser session has chosen: the model, the prompt, the position, and the store."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st

from workbench.config import settings
from workbench.runs.spec import ModelRef
from workbench.runs.store import Store

EXAMPLE = (
    "When Mary and John went to the store, John gave a drink to Mary. "
    "Water boils at 100 degrees Celsius at sea level."
)


def store() -> Store:
    """Return the store of this server."""
    return _store(str(Path(_argument("--store") or settings().store).absolute()))


def model_ref() -> ModelRef:
    """Return the model this session looks at, from the address, the command line or the default."""
    if "model_ref" not in st.session_state:
        ref = ModelRef()
        name = st.query_params.get("model") or _argument("--model")
        backend = st.query_params.get("backend") or _argument("--backend")
        ref = replace(ref, name=name) if name else ref
        st.session_state["model_ref"] = replace(ref, backend=backend) if backend else ref
    ref = st.session_state["model_ref"]
    if not isinstance(ref, ModelRef):
        raise TypeError(f"the session holds a {type(ref).__name__} where its model should be")
    return ref


def choose_model(ref: ModelRef) -> None:
    """Look at another model from now on, in this session only."""
    st.session_state["model_ref"] = ref


def prompt() -> str:
    """Return the text that every page looks at."""
    if "prompt" not in st.session_state:
        st.session_state["prompt"] = st.query_params.get("prompt") or EXAMPLE
    return str(st.session_state["prompt"])


def choose_prompt(text: str) -> None:
    """Look at another text from now on; the position chosen in the old one is dropped."""
    if text != st.session_state.get("prompt"):
        choose_cell(None, None)
    st.session_state["prompt"] = text


def position() -> int | None:
    """Return the token position chosen in any view, None before one was."""
    found = st.session_state.get("position")
    return None if found is None else int(found)


def choose_position(index: int | None) -> None:
    """Choose a token position in all views at once."""
    st.session_state["position"] = index


def layer() -> int | None:
    """Return the layer chosen on a map, None before one was."""
    found = st.session_state.get("layer")
    return None if found is None else int(found)


def choose_cell(row: int | None, index: int | None) -> None:
    """Choose a layer and a token position in all views at once."""
    st.session_state["layer"], st.session_state["position"] = row, index


def remembered(label: str, names: Sequence[str], key: str) -> str:
    """Let the user choose a name; the choice waits under `key` until that name is there."""
    wanted, widget = st.session_state.get(key), f"choice of {key}"
    st.session_state[widget] = wanted if wanted in names else names[0]

    def keep() -> None:
        st.session_state[key] = st.session_state[widget]

    return str(st.selectbox(label, names, key=widget, on_change=keep))


@st.cache_resource(show_spinner=False)
def _store(folder: str) -> Store:
    return Store(folder)


def _argument(flag: str) -> str:
    # What stands after `--` on the command line of the server.
    words = sys.argv[1:]
    return words[words.index(flag) + 1] if flag in words[:-1] else ""
