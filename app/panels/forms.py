"""Options of a plugin as widgets, from the same fields that make the command's flags."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.panels.form_address import keep, starting
from app.panels.wording import plain_markdown
from workbench.options import OptionInfo, split_list

_ABREAST = 3
_LARGEST = (1 << 53) - 1


def option_form(options: Sequence[OptionInfo], *, key: str) -> dict[str, Any]:
    """Draw one widget per option and return the values, ready for a spec.

    An option that may be left out and was left empty is not in the answer. What differs from its
    default stands in the address, under the last word of `key`.
    """
    form = key.split()[-1]
    values: dict[str, Any] = {}
    for start in range(0, len(options), _ABREAST):
        columns = st.columns(_ABREAST)
        for column, info in zip(columns, options[start : start + _ABREAST], strict=False):
            with column:
                value = option_widget(starting(info, form), key=f"{key} option {info.name}")
                st.caption(plain_markdown(info.help))
            keep(f"{form}.{info.name}", value, info.default)
            if value is not None:
                values[info.name] = value
    return values


def option_widget(info: OptionInfo, *, key: str) -> Any:
    """Draw the widget of one option and return its value, None for one left empty."""
    label = _label(info)
    help_text = plain_markdown(_help(info))
    if info.repeated:
        return _list_widget(info, label, help_text, key)
    if info.choices:
        return _choice_widget(info, label, help_text, key)
    if info.type is bool:
        return st.checkbox(label, value=bool(info.default), help=help_text, key=key)
    if info.type in (int, float):
        return _number_widget(info, label, help_text, key)
    text = "" if info.default is None else str(info.default)
    given = st.text_input(label, value=text, help=help_text, key=key)
    return given if given or not info.optional else None


def _list_widget(info: OptionInfo, label: str, help_text: str, key: str) -> Any:
    default = list(info.default or ())
    if info.choices:
        return st.multiselect(label, list(info.choices), default, help=help_text, key=key)
    text = st.text_input(
        f"{label}, one after the other with commas",
        value=", ".join(map(str, default)),
        help=help_text,
        key=key,
    )
    items = [item.strip() for item in split_list(text) if item.strip()]
    return None if not items and info.optional else items


def _choice_widget(info: OptionInfo, label: str, help_text: str, key: str) -> Any:
    choices = [None, *info.choices] if info.optional else list(info.choices)
    index = choices.index(info.default) if info.default in choices else 0
    return st.selectbox(
        label,
        choices,
        index=index,
        help=help_text,
        key=key,
        format_func=lambda choice: "unset" if choice is None else str(choice),
    )


def _number_widget(info: OptionInfo, label: str, help_text: str, key: str) -> Any:
    kind = info.type
    return st.number_input(
        label,
        value=None if info.default is None else kind(info.default),
        min_value=_bound(info.low, kind),
        max_value=_bound(info.high, kind),
        step=1 if kind is int else None,
        format=None if kind is int else "%.6g",
        help=help_text,
        key=key,
        placeholder="unset",
    )


def _bound(value: float | int | None, kind: type) -> Any:
    if value is None or abs(value) > _LARGEST:
        return None
    return kind(value)


def _label(info: OptionInfo) -> str:
    words = info.name.replace("_", " ").capitalize()
    return plain_markdown(f"{words} ({info.unit})" if info.unit else words)


def _help(info: OptionInfo) -> str:
    facts = []
    if info.low is not None and info.high is not None:
        facts.append(f"From {info.low:g} to {info.high:g}.")
    elif info.low is not None:
        facts.append(f"At least {info.low:g}.")
    elif info.high is not None:
        facts.append(f"At most {info.high:g}.")
    return " ".join(facts)
