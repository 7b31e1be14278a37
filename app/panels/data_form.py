"""Which texts a run reads: those that ship with the package, typed, uploaded, or from a file."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from app.panels.form_address import keep, starting_number, starting_word
from app.panels.session import prompt, store
from app.panels.wording import count, page_words, plain_markdown, short
from workbench.errors import DataError, WorkbenchError
from workbench.runs.spec import SHIPPED, DataRef

_SHIPPED = "Prompts that ship with the package"
_OWN = "My own text"
_UPLOAD = "Upload a file"
_PATH = "A file on this machine"
_ACTIVATIONS = "A file of activations"
_BREAKS = {"a paragraph": "\n\n", "a line": "\n", "all of it": ""}
_SHOWN = 200
# Beside the data lie its licences and what the package knows of its own plugins.
_NO_DATA = ("LICENSE", "README", "plugins.json")
_ENDINGS = ["jsonl", "json", "csv", "tsv", "parquet", "txt"]


def data_form(*, key: str, takes_activations: bool = False) -> DataRef | None:
    """Draw the choice of data and return it, None while something is missing."""
    choices = [_SHIPPED, _OWN, _UPLOAD, _PATH] + ([_ACTIVATIONS] if takes_activations else [])
    first = starting_word("data.source", _SHIPPED, choices)
    at = choices.index(first)
    source = st.radio("Texts", choices, index=at, key=f"{key} source", horizontal=True)
    keep("data.source", source, _SHIPPED)
    if source == _OWN:
        return _own(key)
    if source == _ACTIVATIONS:
        path = st.text_input(
            "Path of a safetensors file",
            key=f"{key} activations",
            help="Tensor x [n, d] and, if there are texts, whole numbers text [n].",
        )
        return DataRef(activations=path) if path else _wait("Give the path of the file.")
    data = {_SHIPPED: _shipped, _UPLOAD: _uploaded, _PATH: _path}[source](key)
    if data is None:
        return None
    data = _fields(data, key, expanded=source != _SHIPPED)
    _preview(data)
    return data


def shipped_files() -> list[str]:
    """List the data files of the package, the prompts first."""
    folder = DataRef(path=f"{SHIPPED}prompts.jsonl").file
    if folder is None or not folder.parent.is_dir():
        return []
    files = (p for p in folder.parent.iterdir() if p.suffix[1:] in _ENDINGS)
    names = sorted(p.name for p in files if not p.name.startswith(_NO_DATA))
    return sorted(names, key=lambda name: not name.startswith("prompts"))


def keep_upload(name: str, content: bytes) -> Path:
    """Write an uploaded file beside the runs, under its hash, so that the run can be repeated.

    Raises:
        DataError: the file's ending is none that can be read.
    """
    ending = Path(name).suffix.lower()
    if ending[1:] not in _ENDINGS:
        raise DataError(
            f"{name} ends in {ending!r}; expected one of {', '.join(_ENDINGS)}",
            hint="convert it to JSONL",
        )
    folder = store().folder / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(content).hexdigest()[:16]}{ending}"
    if not path.is_file():
        draft = path.with_suffix(".draft")
        draft.write_bytes(content)
        draft.rename(path)
    return path


def _own(key: str) -> DataRef | None:
    first = starting_word("data.text", prompt())
    text = st.text_area("Text", value=first, key=f"{key} text", height=120)
    keep("data.text", text, prompt())
    usual = "a paragraph"
    first = starting_word("data.unit", usual, list(_BREAKS))
    unit = st.segmented_control(
        "One text is", list(_BREAKS), default=first, required=True, key=f"{key} unit"
    )
    keep("data.unit", unit, usual)
    parts = parts_of(text, unit)
    if not parts:
        return _wait("Write a text.")
    st.caption(count(len(parts), "text"))
    if len(parts) > 1:
        shown = pd.DataFrame({"text": [short(part, 120) for part in parts[:_SHOWN]]})
        st.dataframe(shown, key=f"{key} parts", height=min(len(shown) + 1, 8) * 35 + 3)
    return DataRef(texts=parts)


def parts_of(text: str, unit: str) -> tuple[str, ...]:
    """Return the texts of what was typed: its paragraphs, its lines, or the whole."""
    mark = _BREAKS[unit]
    text = text.replace("\r\n", "\n")
    found = text.split(mark) if mark else [text]
    return tuple(part.strip("\n") for part in found if part.strip())


def _shipped(key: str) -> DataRef | None:
    names = shipped_files()
    if not names:
        return _wait("This installation ships no prompts.")
    at = names.index(starting_word("data.file", names[0], names))
    name = st.selectbox("File", names, index=at, key=f"{key} shipped")
    keep("data.file", name, names[0])
    return DataRef(path=f"{SHIPPED}{name}", limit=32)


def _uploaded(key: str) -> DataRef | None:
    file = st.file_uploader("File", type=_ENDINGS, key=f"{key} upload")
    if file is None:
        return _wait("Choose a file: JSONL, JSON, CSV, TSV, Parquet, or one text a line.")
    return DataRef(path=str(keep_upload(file.name, file.getvalue())))


def _path(key: str) -> DataRef | None:
    path = st.text_input(
        "Path",
        value=starting_word("data.path", ""),
        key=f"{key} path",
        placeholder="/data/questions.jsonl",
    )
    keep("data.path", path, "")
    return DataRef(path=path) if path else _wait("Give the path of the file.")


def _fields(data: DataRef, key: str, *, expanded: bool) -> DataRef:
    with st.expander("Which rows and fields", expanded=expanded):
        a, b, c, d = st.columns(4)
        field = _kept_text(a, "Text field", "text", key)
        label = _kept_text(b, "Label field", "", key, help="What a readout learns; label if empty.")
        group = _kept_text(c, "Group field", "", key, help="Rows of one group are never split.")
        limit = d.number_input(
            "First rows only",
            value=starting_number("data.limit", data.limit, 1),
            min_value=1,
            step=1,
            key=f"{key} limit",
            placeholder="all",
        )
        keep("data.limit", limit, data.limit)
    return replace(data, field=field or "text", label=label, group=group, limit=limit)


def _kept_text(place: Any, label: str, default: str, key: str, help: str = "") -> str:
    word = label.split()[0].lower() if default == "" else "field"
    first = starting_word(f"data.{word}", default)
    found = place.text_input(label, value=first, key=f"{key} {word}", help=help or None)
    keep(f"data.{word}", found, default)
    return str(found)


def _preview(data: DataRef) -> None:
    from workbench.runs.reading import read_examples

    try:
        good, bad = read_examples(replace(data, limit=min(data.limit or 200, 200)))
    except WorkbenchError as error:
        words = f"{error.message} — {error.hint}" if error.hint else str(error)
        st.warning(plain_markdown(page_words(words)))
        return
    words = f"First of them: “{short(good[0].text, 90)}”"
    if bad:
        words += f" — {count(len(bad), 'row')} cannot be used; the run will name each."
    st.caption(plain_markdown(words))


def _wait(words: str) -> DataRef | None:
    st.caption(words)
    return None
