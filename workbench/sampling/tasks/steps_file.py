"""Files of problems with written steps: a JSON list of question, steps and answer."""

from collections.abc import Sequence
from pathlib import Path

from workbench.errors import DataError
from workbench.sampling.rows import json_rows
from workbench.sampling.task import Problem


def step_problems(path: str, limit: int) -> Sequence[Problem]:
    """Read the first problems of a file in order.

    Raises:
        DataError: the file cannot be read, or holds no such row.
    """
    stem = Path(path).stem
    wanted = ("question", "steps", "answer")
    found = [
        Problem(
            id=f"{stem}:{line}",
            question=str(row["question"]),
            answer=str(row["answer"]),
            steps=tuple(str(step) for step in row["steps"] if str(step).strip()),
            fields={k: v for k, v in row.items() if k not in wanted},
        )
        for line, row in json_rows(Path(path))
        if all(key in row for key in wanted) and isinstance(row["steps"], list)
    ]
    if not found:
        raise DataError(
            f"{path} holds no row with question, steps and answer",
            hint="a JSON list, or one object a line",
        )
    return found[:limit]
