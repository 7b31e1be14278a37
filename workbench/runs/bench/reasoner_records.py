"""The records of a benchmark of reasoners as one small file, and those that ship."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from workbench.errors import DataError
from workbench.runs.bench.reasoners import ReasonerBench
from workbench.training.checkpoint import write_whole

_FILE = "reasoners.json"
_HINT = "a file that `workbench bench reasoners --records FILE` wrote"
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
        DataError: none was made as this version would make it.
    """
    return read_records(_shipped(), bench)


def joined_records(path: Path, bench: ReasonerBench) -> list[dict[str, Any]]:
    """Return the records of a file, `shipped` for the one that ships, of every arm and task.

    A benchmark that is given them runs none of their cells.

    Raises:
        DataError: none belongs to the plan of the benchmark, or the file holds no records.
    """
    whole = replace(bench, arms="", tasks="")
    return read_records(_shipped() if path == Path("shipped") else path, whole)


def read_records(path: Path, bench: ReasonerBench) -> list[dict[str, Any]]:
    """Return the records of a file, of those cells that are asked for, in their order.

    A cell that was made in another way (data, options, problems asked) is left out.

    Raises:
        DataError: every cell was, or the file holds no records.
    """
    told = _told(path)
    known = {c["identity"]: c for c in told["cells"]}
    asked = [(cell, bench.at(cell).identity) for cell in bench.cells()]
    found = [_whole(known[name], told["problems"][c.task]) for c, name in asked if name in known]
    if known and not found:
        raise DataError(
            f"{path.name} holds {len(known)} cells of preset {told['preset']}, plan "
            f"{told['plan'][:8]}; none is one of the {len(asked)} asked for",
            hint="run the benchmark with --folder",
        )
    return found


def _shipped() -> Path:
    return Path(str(files("workbench"))) / "data" / _FILE


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
    losses = {str(i): ends for i, ends in enumerate(cell["training"]["losses"])}
    return {**cell, "training": {**cell["training"], "losses": losses}, "rows": rows}


def _told(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}", hint=_HINT) from error
    if not isinstance(told, dict) or not {"preset", "plan", "problems", "cells"} <= set(told):
        raise DataError(f"{path} holds no records of a benchmark of reasoners", hint=_HINT)
    return told


def _numbered(groups: Sequence[str] | Sequence[int]) -> list[int]:
    known = {name: i for i, name in enumerate(dict.fromkeys(groups))}
    return [known[name] for name in groups]
