"""Released model specifications: a structure and its tables by model number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from causal.worlds.released_rows import read_rows
from workbench.errors import DataError


def is_model(row: Mapping[str, Any]) -> bool:
    """Whether a row specifies a model."""
    return {"model_id", "structure", "params"} <= set(row)


def beside(path: Path) -> Sequence[Path]:
    """Return the files in the folder of a question file whose names say that they hold models."""
    return sorted(p for p in path.parent.glob("*meta*model*.json*")) + sorted(
        p for p in path.parent.glob("*model*meta*.json*")
    )


def models_of(paths: Sequence[Path]) -> dict[Any, Mapping[str, Any]]:
    """Return the specifications of some files by model number; other rows are left out."""
    found: dict[Any, Mapping[str, Any]] = {}
    for path in paths:
        try:
            rows, _ = read_rows(path)
        except DataError:
            continue
        found |= {r.values["model_id"]: r.values for r in rows if is_model(r.values)}
    return found
