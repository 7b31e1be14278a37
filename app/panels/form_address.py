"""Values of forms, kept in the address of their page: a reload or a shared link restores them.

What the address asked for when the page was opened is what a form starts with; what was changed
since stands in the address as `PLUGIN.OPTION=value`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from app.panels.wording import plain_markdown
from workbench.errors import BadOption, WorkbenchError
from workbench.methods.registry import Plugin
from workbench.options import OptionInfo, parse

LONGEST = 1500
_MOST = 2**53  # beyond it a browser's numbers skip some
_ASKED = "form values of the address"


def asked() -> dict[str, str]:
    """Return the values that the address held when this session opened its first form."""
    if _ASKED not in st.session_state:
        st.session_state[_ASKED] = {k: v for k, v in st.query_params.items() if "." in k}
    found: dict[str, str] = st.session_state[_ASKED]
    return found


def starting(info: OptionInfo, form: str) -> OptionInfo:
    """Return an option that starts with what the address asks for, where that is a value of it."""
    text = asked().get(f"{form}.{info.name}")
    if text is None:
        return info
    try:
        return replace(info, default=_value(info, text))
    except WorkbenchError:
        return info


def _value(info: OptionInfo, text: str) -> Any:
    """Return the value of an option that a field of a page can hold.

    Raises:
        BadOption: it is none, or a number that browsers cannot tell from the next one.
    """
    try:
        value = parse(info, text)
    except WorkbenchError:
        raise
    except ValueError as error:  # a number of more digits than Python reads
        raise BadOption(f"{info.name} {text[:20]!r} is no number for a form") from error
    if isinstance(value, int | float) and not abs(value) < _MOST:
        raise BadOption(f"{info.name} is {text[:20]}; expected a number below {_MOST}")
    return value


def starting_word(name: str, default: str, known: Sequence[str] = ()) -> str:
    """Return the text that a field starts with; one that is not known is said and left out."""
    text = asked().get(name, default)
    if not known or text in known:
        return text
    _say(f"{name} {text!r} is none of {', '.join(known)}")
    return default


def starting_number(name: str, default: int | None, least: int) -> int | None:
    """Return the whole number that a field starts with; what is none is said and left out."""
    text = asked().get(name)
    if text is None:
        return default
    if text.isdecimal() and len(text) < len(str(_MOST)) and int(text) >= least:
        return int(text)
    _say(f"{name} {text[:20]!r} is no whole number of at least {least}")
    return default


def say_unknown(plugin: Plugin) -> None:
    """Say which values the address asks of a plugin that it does not take."""
    known = {info.name: info for info in plugin.options}
    for name, text in asked().items():
        form, _, option = name.partition(".")
        if form != plugin.name:
            continue
        if option not in known:
            _say(f"{plugin.name} has no option {option!r}")
            continue
        try:
            _value(known[option], text)
        except WorkbenchError as error:
            _say(error.message)


def keep(name: str, value: Any, default: Any) -> None:
    """Write a value of a form into the address, or take it out where it is the default."""
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    usual = ",".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
    if value is None or text == usual or len(text) > LONGEST:
        if name in st.query_params:
            del st.query_params[name]
    elif st.query_params.get(name) != text:
        st.query_params[name] = text


def forget() -> None:
    """Take every value of a form out of the address."""
    st.session_state[_ASKED] = {}
    for name in [name for name in st.query_params if "." in name]:
        del st.query_params[name]


def _say(problem: str) -> None:
    st.warning(plain_markdown(f"The address asks for what is not there: {problem}."))
