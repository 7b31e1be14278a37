"""The immutable outcome of a run: estimates, tables, arrays, notes and views."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workbench.errors import UnknownName
from workbench.result.estimate import Estimate
from workbench.result.graph import CapabilityGraph
from workbench.result.tables import Table
from workbench.result.views import View, view_to_dict

# The code of a note on a part of the work that gave nothing; a run with one is partial.
UNFITTED = "unfitted"


@dataclass(frozen=True)
class Note:
    """Something every front end must say beside the numbers."""

    text: str
    level: Literal["info", "warning"] = "info"
    code: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What came out of a probe, a reasoner, a discovery or a refuter.

    `summary` is one sentence: what was found, with its interval, or that nothing was.
    """

    summary: str
    estimates: tuple[Estimate, ...] = ()
    tables: Mapping[str, Table] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    views: tuple[View, ...] = ()
    graph: CapabilityGraph | None = None

    def estimate(self, name: str) -> Estimate:
        """Return the estimate of that name.

        Raises:
            UnknownName: the result holds no such estimate.
        """
        for found in self.estimates:
            if found.name == name:
                return found
        known = ", ".join(e.name for e in self.estimates) or "none"
        raise UnknownName(f"no estimate {name!r}; the result holds {known}")

    def table(self, name: str) -> Table:
        """Return the table of that name.

        Raises:
            UnknownName: the result holds no such table.
        """
        if name not in self.tables:
            known = ", ".join(self.tables) or "none"
            raise UnknownName(f"no table {name!r}; the result holds {known}")
        return self.tables[name]

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the arrays as plain values."""
        return {
            "summary": self.summary,
            "estimates": [e.as_dict() for e in self.estimates],
            "tables": {name: table.rows() for name, table in self.tables.items()},
            "arrays": {
                name: {"shape": list(a.shape), "dtype": str(a.dtype)}
                for name, a in self.arrays.items()
            },
            "notes": [vars(note) for note in self.notes],
            "views": [view_to_dict(view) for view in self.views],
            "graph": self.graph.as_dict() if self.graph else None,
        }

    def equals(self, other: "Result") -> bool:
        """Whether both results hold the same numbers, words and charts."""
        return (
            self.as_dict() == other.as_dict()
            and all(t.equals(other.tables[name]) for name, t in self.tables.items())
            and all(np.array_equal(a, other.arrays[name]) for name, a in self.arrays.items())
        )

    def _repr_html_(self) -> str:
        rows = "".join(f"<li>{escape(str(e))}</li>" for e in self.estimates)
        notes = "".join(f"<li><em>{escape(note.text)}</em></li>" for note in self.notes)
        tables = "".join(
            f"<h4>{escape(name)}</h4>{table.frame.head(50).to_html(index=False, escape=True)}"
            for name, table in self.tables.items()
        )
        return f"<p><b>{escape(self.summary)}</b></p><ul>{rows}{notes}</ul>{tables}"
