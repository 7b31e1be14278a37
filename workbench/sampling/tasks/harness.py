"""Choice questions of a local lm-evaluation-harness task."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workbench.errors import DataError
from workbench.methods.registry import register
from workbench.options import option
from workbench.sampling.harness_files import read_harness
from workbench.sampling.items import Item, ItemTask


@register(
    "task", "harness", source="Gao et al. 2024, lm-evaluation-harness, doi:10.5281/zenodo.12608602"
)
@dataclass(frozen=True, kw_only=True)
class Harness(ItemTask):
    """Choose an answer, by a multiple-choice task file of the harness: `harness:TASK.yaml`.

    The data lie in a file beside it; texts, choices and targets are fields or templates. Tasks
    that call Python functions are refused. `harness:ROWS.jsonl` (or CSV) reads rows with prompt,
    choices and gold without a task file. Rows that are no question are named and left out.
    """

    path: str = option("", help="Task file (YAML) whose data_files are local, or rows alone.")

    instruction = "Answer with one of the choices."

    def items(self, limit: int, generator: np.random.Generator) -> Sequence[Item]:
        """Read the first `limit` questions.

        Raises:
            DataError: no file was named, it is no local multiple-choice task, or no row fits.
        """
        return self._read()[0][:limit]

    def skipped(self, limit: int) -> Sequence[tuple[str, str]]:
        """Return the place and the fault of rows that are no question."""
        return self._read()[1]

    def _read(self) -> tuple[list[Item], list[tuple[str, str]]]:
        if not self.path:
            raise DataError("task harness needs a file", hint="--task harness:TASK.yaml")
        return read_harness(Path(self.path))
