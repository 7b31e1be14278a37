"""The records of a benchmark of reasoners as one small file, and those that ship."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from workbench.errors import DataError
from workbench.runs.bench.reasoners import ReasonerBench
from workbench.training.checkpoint import write_whole

_FILE = "reasoners.json"
# By problem, 0 or 1; of the rest the mean is kept.
_VERDICTS, _COSTS = (
    ("right", "changed"),
    ("operations", "operations_every", "positions", "seconds"),
)


def write_records(bench: ReasonerBench, records: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write records as one file: verdicts problem by problem, costs as means.

    Raises:
        StoreError: the file cannot be written.
    """
    problems: dict[str, dict[str, Any]] = {}
    for record in records:
        known = problems.setdefault(record["task"], {})
        for name, row in record["rows"].items():
            if "changed" not in row:
                known.setdefault(name, {"depth": row["depth"], "group": _numbered(row["group"])})
    told = {
        "preset": bench.preset,
        "plan": bench.plan_hash,
        "problems": problems,
        "cells": [_small(record) for record in records],
    }
    lines = json.dumps(told, separators=(",", ":")).replace('{"seed"', '\n{"seed"')
    write_whole(path, f"{lines}\n".encode())


def shipped_records(bench: ReasonerBench) -> list[dict[str, Any]]:
    """Return the records that ship, of those cells that are asked for.

    Raises:
        DataError: they were made by another plan than this version's.
    """
    return read_records(Path(str(files("workbench"))) / "data" / _FILE, bench)


def read_records(path: Path, bench: ReasonerBench) -> list[dict[str, Any]]:
    """Return the records of a file, of those cells that are asked for, in their order.

    Raises:
        DataError: the file was made by another plan.
    """
    told = json.loads(path.read_text())
    if (told["preset"], told["plan"]) != (bench.preset, bench.plan_hash):
        raise DataError(
            f"{path.name} holds the plan {told['plan'][:8]} of preset {told['preset']}; asked for "
            f"is {bench.plan_hash[:8]} of {bench.preset}",
            hint="run the benchmark with --folder",
        )
    known = {(c["task"], c["arm"], c["seed"]): c for c in told["cells"]}
    asked = [(cell.task, cell.arm, cell.seed) for cell in bench.cells()]
    return [_whole(known[key], told["problems"][key[0]]) for key in asked if key in known]


def _small(record: Mapping[str, Any]) -> dict[str, Any]:
    rows = {}
    for name, row in record["rows"].items():
        verdicts = {w: "".join(map(str, row[w])) for w in _VERDICTS if w in row}
        rows[name] = verdicts | {w: float(f"{sum(row[w]) / len(row[w]):.6g}") for w in _COSTS}
    losses = record["training"]["losses"].values()
    training = {name: record["training"][name] for name in ("wall_seconds", "processor_seconds")}
    training["losses"] = [[one[0], one[-1]] for one in losses if one]
    same = {name: record[name] for name in ("seed", "arm", "task", "identity")}
    return {**same, "training": training, "rows": rows}


def _whole(cell: Mapping[str, Any], problems: Mapping[str, Any]) -> dict[str, Any]:
    rows = {}
    for name, row in cell["rows"].items():
        asked = problems[name if name in problems else name.rpartition(", ")[0]]
        verdicts = {w: [int(v) for v in row[w]] for w in _VERDICTS if w in row}
        costs = {w: [row[w]] * len(asked["depth"]) for w in _COSTS}
        rows[name] = {**asked, **verdicts, **costs}
    return {**cell, "rows": rows}


def _numbered(groups: Sequence[str]) -> list[int]:
    known = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    return [known[name] for name in groups]
