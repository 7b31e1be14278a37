"""One sentence on every arm of a benchmark of reasoners, from its numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from workbench.runs.bench.reasoner_answers import TRAINED
from workbench.runs.bench.reasoner_plan import ARMS, CHAIN

Row = Mapping[str, Any]
_LEVEL = 0.05
# With fewer the interval knows little of how seeds differ.
_SEEDS = 3


def sentences(
    accuracy: Sequence[Row], paired: Sequence[Row], replaced: Sequence[Row]
) -> list[dict[str, str]]:
    """Return, arm by arm, what the tables show and what they do not."""
    found = []
    for arm in ARMS:
        mine = [r for r in accuracy if r["arm"] == arm and r["row"] == TRAINED]
        if mine:
            parts = [_learned(row) for row in mine]
            parts += [_compared(r) for r in paired if r["arm"] == arm]
            parts += _carried([r for r in replaced if r["arm"] == arm])
            few = ", ".join(_few(row) for row in mine if row["seeds"] < _SEEDS)
            end = f". Few seeds: {few}." if few else "."
            found.append({"arm": arm, "shows": "; ".join(parts) + end})
    return found


def _few(row: Row) -> str:
    return f"{row['task']} {row['seeds']}"


def _learned(row: Row) -> str:
    low, chance = row["low"], row["chance"]
    told = f"{row['task']} {row['accuracy']:.2f}"
    if low is None or low <= chance:
        return f"{told}, not shown to be above guessing ({chance:.2f})"
    return told


def _compared(row: Row) -> str:
    name = "chain of thought" if row["against"] == CHAIN else "answer-only"
    if row["p_holm"] >= _LEVEL:
        return f"{row['task']}: no difference from {name} shows ({row['difference']:+.2f})"
    which = "above" if row["difference"] > 0 else "below"
    return f"{row['task']}: {which} {name} by {abs(row['difference']):.2f}"


def _carried(rows: Sequence[Row]) -> list[str]:
    found = []
    for row in rows:
        told = f"{row['task']}: thoughts replaced ({row['thoughts']}) {row['change']:+.2f}"
        shows = row["low"] is not None and row["high"] is not None and row["high"] < 0
        found.append(told if shows else f"{told}, no loss shows")
    return found
