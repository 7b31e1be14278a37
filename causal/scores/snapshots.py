"""Do two states of one leaderboard tell the same story?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from causal.scores.leaderboard import ScoreTable
from workbench.errors import TooLittleData
from workbench.result.result import Note
from workbench.result.tables import Column, Table

LOUD = 0.05
SAME = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class SnapshotComparison:
    """Score by score, how two snapshots differ on the models both hold."""

    first: str
    second: str
    shared: int
    table: Table
    notes: tuple[Note, ...]


def compare_snapshots(first: ScoreTable, second: ScoreTable) -> SnapshotComparison:
    """Compare scores of models (name and precision) that appear once in both tables.

    Raises:
        TooLittleData: the tables share no model or no benchmark.
    """
    shared = tuple(b for b in first.benchmarks if b in second.benchmarks)
    left, right = (_keyed(table, shared) for table in (first, second))
    joined = left.merge(right, left_index=True, right_index=True, suffixes=(" 1", " 2"))
    if not shared or joined.empty:
        raise TooLittleData(
            f"{first.snapshot.source} and {second.snapshot.source} share {len(shared)} benchmarks "
            f"and {len(joined)} models; nothing to compare"
        )
    rows = [_difference(joined, name) for name in shared]
    loud = [row for row in rows if float(row["share"]) > LOUD]
    return SnapshotComparison(
        first=first.snapshot.id,
        second=second.snapshot.id,
        shared=len(joined),
        table=Table.from_rows(
            rows,
            {
                "share": Column("proportion", "Shared models whose score differs."),
                "mean_change": Column("points", "Second minus first, over shared models."),
                "largest_change": Column("points", "Largest absolute change."),
            },
        ),
        notes=tuple(_loud_note(row, second) for row in loud),
    )


def _keyed(table: ScoreTable, shared: tuple[str, ...]) -> pd.DataFrame:
    facts = table.facts
    precision = facts["precision"] if "precision" in facts else pd.Series("", index=facts.index)
    key = facts["model"].str.lower() + " " + precision
    keyed = table.numbers[list(shared)].set_axis(key, axis=0)
    return keyed[~keyed.index.duplicated(keep=False)]


def _difference(joined: pd.DataFrame, name: str) -> dict[str, str | int | float]:
    change = (joined[f"{name} 2"] - joined[f"{name} 1"]).to_numpy()
    zeros = [int((joined[f"{name} {i}"] == 0).sum()) for i in (1, 2)]
    return {
        "benchmark": name,
        "shared": len(joined),
        "differ": int((np.abs(change) > SAME).sum()),
        "share": float((np.abs(change) > SAME).mean()),
        "mean_change": float(change.mean()),
        "largest_change": float(np.abs(change).max()),
        "zeros_first": zeros[0],
        "zeros_second": zeros[1],
    }


def _loud_note(row: dict[str, str | int | float], second: ScoreTable) -> Note:
    return Note(
        f"SNAPSHOTS DISAGREE: {row['benchmark']} differs on {row['share']:.0%} of {row['shared']} "
        f"models shared with {second.snapshot.source} (mean change {row['mean_change']:+.1f}, "
        f"largest {row['largest_change']:.1f} points; exact zeros {row['zeros_first']} here, "
        f"{row['zeros_second']} there). Results from the two are not interchangeable.",
        level="warning",
        code="snapshots-disagree",
    )
