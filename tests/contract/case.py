"""A plugin under test, and how its tables are compared."""

from dataclasses import dataclass

import pandas as pd

from tests.contract.running import Outcome, run_of, setup
from workbench.methods.registry import Plugin, find
from workbench.options import build


@dataclass(frozen=True)
class Case:
    """A plugin under test."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def plugin(self) -> Plugin:
        return find(self.kind, self.name)

    def run(self, **variation) -> Outcome:
        return run_of(self.kind, self.name, **variation)

    @property
    def result(self):
        return self.run().result

    @property
    def recipe(self):
        return build(self.plugin.recipe, setup(self.kind, self.name).spec.options)


def assert_same_tables(found, expected, **tolerance) -> None:
    """Compare all tables but for their durations, which no seed decides."""
    assert found.tables.keys() == expected.tables.keys()
    for title, table in expected.tables.items():
        units = {name: column.unit for name, column in table.columns.items()}
        kept = [c for c in table.frame if not is_clock(c, units.get(c, ""))]
        pd.testing.assert_frame_equal(
            found.tables[title].frame[kept],
            table.frame[kept],
            obj=title,
            **(tolerance or {"rtol": 1e-5}),
        )


def is_clock(name: str, unit: str) -> bool:
    """Whether a number is a duration."""
    return "second" in name or "second" in unit or unit in ("s", "ms")
