"""Options of plugins: dataclass fields that carry help text and bounds."""

import builtins
import contextlib
import dataclasses
import importlib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from workbench.errors import BadOption, WorkbenchError

RecipeT = TypeVar("RecipeT")


def option(
    default: Any,
    *,
    help: str,
    low: float | int | None = None,
    high: float | int | None = None,
    unit: str = "",
    section: str = "",
) -> Any:
    """Declare a dataclass field that front ends turn into a flag or a widget.

    `section` is the heading under which a page shows it.
    """
    metadata = {"help": help, "low": low, "high": high, "unit": unit, "section": section}
    return dataclasses.field(default=default, metadata=metadata)


@typing.runtime_checkable
class Parsed(typing.Protocol):
    """A type whose values are written as text."""

    def parse(self, text: str) -> Any:
        """Read a value."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptionInfo:
    """What a front end needs to know about one option."""

    name: str
    type: type
    default: Any
    help: str
    choices: tuple[Any, ...] = ()
    low: float | int | None = None
    high: float | int | None = None
    unit: str = ""
    section: str = ""
    optional: bool = False
    repeated: bool = False

    @property
    def flag(self) -> str:
        """The option as typed on the command line, without the dashes."""
        return self.name.replace("_", "-")

    def as_dict(self) -> dict[str, Any]:
        """Return what is not the default as plain values, which JSON can hold."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }
        home, name = self.type.__module__, self.type.__qualname__
        default = None if self.default is None else _plain_value(self.default)
        typed = name if home == builtins.__name__ else f"{home}:{name}"
        return {**values, "type": typed, "default": default}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "OptionInfo":
        """Read what `as_dict` wrote, importing the home of a type that is not built in.

        Raises:
            BadOption: the default is no longer a value of that type.
        """
        home, _, name = str(values["type"]).rpartition(":")
        kind = getattr(importlib.import_module(home) if home else builtins, name)
        info = cls(**{**values, "type": kind, "choices": tuple(values.get("choices", ()))})
        return dataclasses.replace(info, default=parse(info, info.default))


def describe(recipe: type) -> tuple[OptionInfo, ...]:
    """List the options of a recipe class in the order its fields are written."""
    hints = typing.get_type_hints(recipe)
    return tuple(
        _describe_field(field, hints[field.name])
        for field in dataclasses.fields(recipe)
        if "help" in field.metadata
    )


def build(recipe: type[RecipeT], values: Mapping[str, Any]) -> RecipeT:
    """Construct a recipe from plain values (TOML, flags, widgets), checking every one.

    Raises:
        BadOption: names that do not exist, wrong types or values out of bounds, all at once.
    """
    known = {info.name: info for info in describe(recipe)}
    problems = [
        f"unknown option {name!r}; known: {', '.join(known) or 'none'}"
        for name in values
        if name not in known
    ]
    parsed: dict[str, Any] = {}
    for name, raw in values.items():
        if name in known:
            try:
                parsed[name] = parse(known[name], raw)
            except WorkbenchError as error:
                problems.append(error.message)
    if problems:
        raise BadOption("; ".join(problems), hint="--help lists the options and their bounds")
    return recipe(**parsed)


def plain(recipe: Any) -> dict[str, Any]:
    """Return a recipe's options as plain values that TOML and JSON can hold."""
    return {
        info.name: _plain_value(value)
        for info in describe(type(recipe))
        if (value := getattr(recipe, info.name)) is not None
    }


def parse(info: OptionInfo, raw: Any) -> Any:
    """Turn one plain value into what the field wants.

    Raises:
        BadOption: the value has the wrong type or lies outside the bounds.
    """
    if raw is None and info.optional:
        return None
    if info.repeated:
        items = split_list(raw) if isinstance(raw, str) else raw
        if not isinstance(items, Sequence | frozenset):
            raise BadOption(f"option {info.name!r} takes a list, got {raw!r}")
        return tuple(_parse_one(info, item) for item in items)
    return _parse_one(info, raw)


def split_list(text: str) -> list[str]:
    """Split a text at its commas, but for those in brackets as in `q.3[0,-1]`."""
    return re.split(r",(?![^\[\]]*\])", text)


def _parse_one(info: OptionInfo, raw: Any) -> Any:
    value = _convert(info, raw)
    if info.choices and value not in info.choices:
        allowed = ", ".join(map(str, info.choices))
        raise BadOption(f"option {info.name!r} is {raw!r}; expected one of {allowed}")
    for bound, broken in ((info.low, "at least"), (info.high, "at most")):
        if bound is None:
            continue
        if not ((value >= bound) if broken == "at least" else (value <= bound)):
            raise BadOption(f"option {info.name!r} is {value!r}; expected {broken} {bound:g}")
    return value


def _convert(info: OptionInfo, raw: Any) -> Any:
    if isinstance(raw, info.type) and not (info.type is int and isinstance(raw, bool)):
        return raw
    if info.type is bool and isinstance(raw, str):
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if raw.lower() in words:
            return words[raw.lower()]
    elif isinstance(info.type, Parsed):
        return info.type.parse(str(raw))
    elif info.type is not bool and not _loses_digits(info, raw):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return info.type(raw)
    raise BadOption(f"option {info.name!r} is {raw!r}; expected {info.type.__name__}")


def _loses_digits(info: OptionInfo, raw: Any) -> bool:
    return info.type is int and isinstance(raw, float) and not raw.is_integer()


def _describe_field(field: "dataclasses.Field[Any]", hint: Any) -> OptionInfo:
    optional = repeated = False
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        optional = type(None) in typing.get_args(hint)
        hint = next(arg for arg in typing.get_args(hint) if arg is not type(None))
    if typing.get_origin(hint) is tuple:
        repeated, hint = True, typing.get_args(hint)[0]
    choices: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Literal:
        choices, hint = typing.get_args(hint), type(typing.get_args(hint)[0])
    return OptionInfo(
        name=field.name,
        type=hint,
        default=field.default,
        choices=choices,
        optional=optional,
        repeated=repeated,
        **field.metadata,
    )


def _plain_value(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    return value if isinstance(value, bool | int | float | str) else str(value)
