"""Ablations: the variants of one recipe, trained and evaluated beside each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from workbench.errors import BadOption
from workbench.result.result import Note
from workbench.result.tables import Column

AblationT = TypeVar("AblationT", bound="Ablation")


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One variant of a recipe, by its name."""

    name: str


def by_name(*ablations: AblationT) -> dict[str, AblationT]:
    """Return ablations by their names, in order."""
    return {one.name: one for one in ablations}


def selected(names: str, known: Mapping[str, AblationT]) -> tuple[AblationT, ...]:
    """Return the ablations of a comma-separated list.

    Raises:
        BadOption: an ablation does not exist, or is named twice.
    """
    found = [name.strip() for name in names.split(",") if name.strip()]
    if not found or set(found) - set(known) or len(set(found)) != len(found):
        raise BadOption(
            f"arms {names!r}; expected different ones of {', '.join(known)}, separated by commas"
        )
    return tuple(known[name] for name in found)


def accuracy_columns(who: Column, first: str, help: str, **more: Column) -> dict[str, Column]:
    """Return the columns of a table of accuracies, one row per ablation."""
    return {first: who, "accuracy": Column("proportion", help, "low", "high"), **_ends(), **more}


def paired_columns(first: str, against: str, **more: Column) -> dict[str, Column]:
    """Return the columns of a table of paired differences."""
    return {
        first: Column(help="An arm."),
        "against": Column(help=against),
        "difference": Column("proportion", "Mean difference in accuracy.", "low", "high"),
        **_ends(),
        **more,
    }


def difference_words(pair: Mapping[str, Any], name: str) -> str:
    """Return a paired difference with its interval, for a summary."""
    return (
        f"; {name} − {pair['against']} {pair['difference']:+.3f} "
        f"[{pair['low']:.3f}, {pair['high']:.3f}]"
    )


def undecided(pairs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the paired differences whose interval holds zero."""
    return [p for p in pairs if p["low"] is not None and p["low"] <= 0 <= p["high"]]


def null_note(names: Sequence[str], *, first: str = "") -> tuple[Note, ...]:
    """Return a note on differences that do not show, none where all do."""
    text = f"no difference shows between {first}{'; '.join(names)}"
    return (Note(text, code="null"),) if names else ()


def _ends() -> dict[str, Column]:
    return {
        "low": Column("proportion", "Lower end, 95 %, over problems."),
        "high": Column("proportion", "Upper end, 95 %, over problems."),
    }
