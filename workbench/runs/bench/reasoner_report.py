"""What a benchmark of reasoners found: its tables, its sentences and its one claim."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from workbench.result.tables import Column
from workbench.runs.bench.hooks import Bar
from workbench.runs.bench.reasoner_answers import TRAINED
from workbench.runs.bench.reasoner_plan import CHAIN, PRESETS
from workbench.runs.bench.reasoner_table import (
    ACCURACY,
    DEPTH,
    PAIRED,
    REPLACED,
    accuracy_rows,
    depth_rows,
    paired_rows,
    replaced_rows,
)
from workbench.runs.bench.reasoner_words import sentences
from workbench.runs.bench.reasoners import ReasonerBench

SEARCH = "none: rates and schedules are the recipes' own, none was tried for any arm"


def reasoner_report(bench: ReasonerBench, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the tables of what is known; cells that are not filled yet are counted."""
    accuracy, paired = accuracy_rows(records), paired_rows(records)
    replaced, sizes = replaced_rows(records), PRESETS[bench.preset]
    return {
        "preset": bench.preset,
        "writing": sizes.writing,
        "updates": sizes.updates,
        "search": SEARCH,
        "cells_filled": len(records),
        "cells_asked": len(list(bench.cells())),
        "seeds": bench.seeds,
        "plan": bench.plan_hash,
        "folder": str(bench.folder or ""),
        "accuracy": accuracy,
        "paired": paired,
        "replaced": replaced,
        "depth": depth_rows(records),
        "sentences": sentences(accuracy, paired, replaced),
        "bars": [{**asdict(bar), "passed": bar.passed} for bar in _bars(accuracy)],
    }


def table_columns() -> dict[str, dict[str, Column]]:
    """Return what the columns of each table hold."""
    return {"accuracy": ACCURACY, "paired": PAIRED, "replaced": REPLACED, "depth": DEPTH}


def _bars(accuracy: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Return the claim that a chain in words is learned, without which no comparison says much.

    It is made where one was trained.
    """
    over = [
        row["chance"] / row["low"]
        for row in accuracy
        if row["arm"] == CHAIN and row["row"] == TRAINED and row["low"]
    ]
    claim = "guessing / chain of thought, lower end, best task"
    return [Bar(claim=claim, value=min(over), limit=0.8)] if over else []
