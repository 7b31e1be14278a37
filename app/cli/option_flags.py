"""Plugin options as command-line flags."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from workbench.errors import WorkbenchError
from workbench.options import OptionInfo, parse, split_list

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:  # older releases of click know no type argument
    _ParamType = click.ParamType


class OptionType(_ParamType):
    """The type of one plugin option; checks as the options module does."""

    def __init__(self, info: OptionInfo) -> None:
        """Keep what is known of the option."""
        self.info = info
        self.name = "|".join(map(str, info.choices)) or info.type.__name__.lower()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check one value, and hand it on as it was typed where the option is a list."""
        try:
            parsed = parse(self.info, _items(self.info, value) if self.info.repeated else value)
        except WorkbenchError as error:
            hint = f" ({error.hint})" if error.hint else ""
            self.fail(f"{error.message}{hint}", param, ctx)
        return parsed


def flags_of(
    options: Sequence[OptionInfo], *, taken: Collection[str] = ()
) -> tuple[click.Option, ...]:
    """Return one flag per option; a name that is `taken` becomes `--option-NAME`."""
    return tuple(_flag(info, _flag_name(info, taken)) for info in options)


def given(options: Sequence[OptionInfo], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were typed, by their names in the recipe."""
    typed: dict[str, Any] = {}
    for info in options:
        value = values.get(parameter(info))
        if info.repeated and value:
            typed[info.name] = tuple(item for items in value for item in items)
        elif not info.repeated and value is not None:
            typed[info.name] = value
    return typed


def parameter(info: OptionInfo) -> str:
    """Return the name under which click hands the option's value over."""
    return f"option__{info.name}"


def help_text(info: OptionInfo) -> str:
    """Describe an option: its help, bounds, unit and default."""
    facts = [info.unit] if info.unit else []
    if info.low is not None or info.high is not None:
        low = "" if info.low is None else f"{info.low:g}"
        high = "" if info.high is None else f"{info.high:g}"
        facts.append(
            f"{low} to {high}" if low and high else f"at least {low}" if low else f"at most {high}"
        )
    if info.repeated:
        facts.append("may be repeated")
    facts.append(f"default: {_default(info)}")
    return f"{info.help}  [{'; '.join(facts)}]"


def _flag(info: OptionInfo, name: str) -> click.Option:
    if info.type is bool and name.startswith("no-"):
        return click.Option(
            [parameter(info), f"--{name}"], is_flag=True, default=None, help=help_text(info)
        )
    if info.type is bool and not info.repeated and not info.optional:
        return click.Option(
            [parameter(info), f"--{name}/--no-{name}"], default=None, help=help_text(info)
        )
    return click.Option(
        [parameter(info), f"--{name}"],
        type=OptionType(info),
        metavar=f"[{'|'.join(map(str, info.choices))}]" if info.choices else None,
        multiple=info.repeated,
        default=None,
        help=help_text(info),
    )


def _flag_name(info: OptionInfo, taken: Collection[str]) -> str:
    return f"option-{info.flag}" if info.flag in taken else info.flag


def _default(info: OptionInfo) -> str:
    if info.default is None:
        return "none"
    if isinstance(info.default, tuple):
        return ", ".join(map(str, info.default)) or "none"
    if isinstance(info.default, bool):
        return "on" if info.default else "off"
    return str(info.default)


def _items(info: OptionInfo, value: Any) -> Any:
    # A text may hold commas of its own.
    if isinstance(value, str):
        return [value] if info.type is str else split_list(value)
    return value
