"""Labels and groups of examples: read, checked and kept beside their vectors."""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadRows
from workbench.methods.contracts import Example
from workbench.methods.splits import fold_problems

Target = Literal["auto", "classes", "numbers"]

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One example without its vector: label, group and where it stands in the data.

    `digest` is a hash of the whole text, which itself is cut short.
    """

    label: str | float | None
    group: str
    source: str
    text: str
    digest: str = ""

    @classmethod
    def of(cls, example: Example) -> "Labelled":
        """Keep what the evaluation needs."""
        return cls(
            label=example.label,
            group=example.group,
            source=example.source,
            text=" ".join(example.text.split())[:160],
            digest=blake2b(example.text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
            if example.text
            else "",
        )

    @property
    def content(self) -> tuple[str, str, str]:
        """What it says, for an order that neither names nor places of files decide."""
        return self.digest or self.text, str(self.label), self.group

    @property
    def place(self) -> tuple[tuple[str | int, ...], str]:
        """Where it stands, for sorting: the numbers in `file:12` count as numbers."""
        parts = re.split(r"(\d+)", self.source)
        return tuple(int(p) if i % 2 else p for i, p in enumerate(parts)), self.text


@dataclass(frozen=True, kw_only=True, eq=False)
class Targets:
    """Class names or numbers to predict, with one group per example."""

    y: NDArray[np.generic]
    groups: NDArray[np.generic]
    classes: tuple[str, ...]

    @property
    def n_groups(self) -> int:
        """The number of different groups."""
        return len(np.unique(self.groups))

    @property
    def is_grouped(self) -> bool:
        """Whether any two examples share a group."""
        return self.n_groups < len(self.y)


def check_labels(examples: Iterable[Example], *, target: Target = "auto", n_folds: int = 5) -> None:
    """Check before any model is run that a readout can be evaluated on the examples.

    Raises:
        BadRows: labels missing, mixed or not finite, too few classes or groups; all at once.
    """
    targets([Labelled.of(example) for example in examples], target=target, n_folds=n_folds)


def targets(rows: Sequence[Labelled], *, target: Target, n_folds: int) -> Targets:
    """Read the labels as classes or as numbers, and the groups.

    `auto` reads words as classes, and numbers as numbers unless there are only two different
    ones. An example without a group is a group of its own.

    Raises:
        BadRows: labels missing, mixed or not finite, too few classes or groups; all at once.
    """
    problems = _label_problems(rows)
    if not problems:
        y = _read(rows, target, problems)
    if problems:
        raise BadRows("; ".join(problems), hint="name the field with --label")
    groups = np.array([row.group or f"\0{i}" for i, row in enumerate(rows)])
    numeric = np.issubdtype(y.dtype, np.floating)
    different = np.unique(y)
    if len(different) < 2:
        raise BadRows(
            f"all {len(y)} labels are {different[0]!s}; expected at least two kinds",
            hint="give rows with another label, or name another field with --label",
        )
    problems = fold_problems(y, groups, n_folds=n_folds)
    if problems:
        raise BadRows("; ".join(problems), hint="give more labelled rows, or use fewer folds")
    classes = () if numeric else tuple(str(c) for c in different)
    return Targets(y=y, groups=groups, classes=classes)


def _label_problems(rows: Sequence[Labelled]) -> list[str]:
    missing = _where(rows, lambda label: label is None)
    endless = _where(rows, lambda label: _is_number(label) and not math.isfinite(label))
    problems = []
    if not rows:
        problems.append("there are no examples")
    if missing:
        problems.append(f"{len(missing)} of {len(rows)} rows have no label ({_named(missing)})")
    if endless:
        problems.append(f"labels that are not finite numbers ({_named(endless)})")
    numbers = _where(rows, _is_number)
    words = _where(rows, lambda label: isinstance(label, str))
    if numbers and words:
        few = min(numbers, words, key=len)
        problems.append(
            f"{len(words)} labels are words and {len(numbers)} are numbers ({_named(few)}); "
            "expected one kind"
        )
    return problems


def _read(rows: Sequence[Labelled], target: Target, problems: list[str]) -> NDArray[Any]:
    labels = [row.label for row in rows]
    if isinstance(labels[0], str):
        if target == "numbers":
            problems.append("labels are words; expected numbers")
        return np.array([str(label) for label in labels])
    numbers = np.array(labels, dtype=np.float64)
    if target == "classes" or (target == "auto" and len(np.unique(numbers)) <= 2):
        return np.array([f"{number:g}" for number in numbers])
    return numbers


def _is_number(label: object) -> bool:
    return isinstance(label, float | int)


def _where(rows: Sequence[Labelled], wanted: Callable[[Any], bool]) -> list[str]:
    return [row.source or f"row {i}" for i, row in enumerate(rows, 1) if wanted(row.label)]


def _named(sources: Sequence[str]) -> str:
    more = f" and {len(sources) - _SHOWN} more" if len(sources) > _SHOWN else ""
    return ", ".join(sources[:_SHOWN]) + more
