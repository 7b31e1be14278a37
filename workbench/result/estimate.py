"""A number that can be trusted: value, unit, interval, sample size and method."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from workbench.errors import NotFinite


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One number with what it takes to believe it.

    `n` counts independent units named by `n_unit` (texts, questions, models), never tokens.
    `value` is None when the quantity is undefined on this data, and `note` says why. `low` and
    `high` bound the interval at `level`; both are None when no interval applies. `control` is
    the same quantity under the null named by `control_name`; where both were measured on the
    same units, `gap_low` and `gap_high` bound the mean difference, unit by unit, of the value from
    its control (of their logarithms where the value is a geometric mean).
    """

    name: str
    value: float | None
    unit: str
    n: int
    n_unit: str = "texts"
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    method: str = ""
    control: float | None = None
    control_name: str = ""
    gap_low: float | None = None
    gap_high: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse NaN and infinity: an undefined value is None with a note."""
        for name in ("value", "low", "high", "control", "gap_low", "gap_high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise NotFinite(
                    f"estimate {self.name!r} has {name} {number}; expected a finite number",
                    hint="an undefined quantity is None, with a note that says why",
                )

    def __str__(self) -> str:
        """Write the value with its interval, unit and n.

        >>> str(Estimate(name="x", value=2.0, unit="nats", n=1))
        'x 2 nats (n = 1 text)'
        """
        if self.value is None:
            return f"{self.name} undefined ({self.note or 'no reason given'})"
        interval = ""
        if self.low is not None and self.high is not None:
            interval = f" [{format_number(self.low)}, {format_number(self.high)}]"
        unit = f" {self.unit}" if self.unit else ""
        control = ""
        if self.control is not None:
            control = f"; {self.control_name or 'control'} {format_number(self.control)}"
        value = format_number(self.value)
        units = singular(self.n_unit) if self.n == 1 else self.n_unit
        return f"{self.name} {value}{interval}{unit} (n = {self.n} {units}{control})"

    def against(self, control: float | None, name: str) -> "Estimate":
        """Return this estimate beside the value of the same quantity under a null."""
        return replace(self, control=control, control_name=name, gap_low=None, gap_high=None)

    @property
    def beside_control(self) -> str:
        """Say whether it lies above, below or no further from its control than chance allows.

        The differences of units decide where they are known, else the interval of the value.
        Without an interval, as with a single text, the values alone are compared, as written.

        >>> found = Estimate(name="x", value=2.0, unit="", n=9, low=1.5, high=2.5)
        >>> found.against(1.0, "null").beside_control
        'more than'
        >>> found.against(1.7, "null").beside_control
        'not measurably other than'
        >>> replace(found.against(1.7, "null"), gap_low=0.1, gap_high=0.5).beside_control
        'more than'
        """
        if self.value is None or self.control is None:
            return "not measurably other than"
        low, high = self.gap_low, self.gap_high
        if low is None or high is None:
            low = (self.value if self.low is None else self.low) - self.control
            high = (self.value if self.high is None else self.high) - self.control
            if self.low is None and format_number(self.value) == format_number(self.control):
                return "not measurably other than"
        if low > 0:
            return "more than"
        return "less than" if high < 0 else "not measurably other than"

    def told(self, text: str, more: str, less: str, same: str) -> str:
        """Fill `{}` with the words that fit how it lies beside its control; add the number.

        >>> found = Estimate(name="x", value=2.0, unit="", n=9, low=1.5, high=2.5, control=1.0)
        >>> found.told("It {}", "grows", "falls", "is not shown to move")
        'It grows: x 2 [1.5, 2.5] (n = 9 texts; control 1)'
        >>> found.against(2.1, "null").told("It {}", "grows", "falls", "is not shown to move")
        'It is not shown to move: x 2 [1.5, 2.5] (n = 9 texts; null 2.1)'
        """
        words = {"more than": more, "less than": less}.get(self.beside_control, same)
        return f"{text.replace('{}', words)}: {self}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


def format_number(value: float) -> str:
    """Write a number with four significant digits."""
    return f"{value:.4g}"


def singular(unit: str) -> str:
    """Return the word for one of some units: problem, batch, exchange."""
    return unit.removesuffix("es" if unit.endswith("ches") else "s")
