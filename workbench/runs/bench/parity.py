"""The parity table as plain rows, for every front end."""

from dataclasses import asdict
from typing import Any

from workbench.model.parity import parity_table
from workbench.progress import Progress, silent


def parity_rows(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    backend: str = "hooks",
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """Compare every backend with a plain forward pass; all are compared whatever `backend` says.

    Raises:
        BadOption: no such device or number format.
        ModelNotFound: no model of that name.
        Unsupported: not a causal language model of a known architecture.
    """
    rows = parity_table(name, device=device, dtype=dtype, progress=progress)
    return [{**asdict(row), "passed": row.passed} for row in rows]
