"""Progress on standard error: a bar on a terminal, a line at either end elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from app.cli.output import console, say

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


class ProgressBar:
    """A `Progress` that draws itself on standard error while it is open."""

    def __init__(self) -> None:
        """Decide by the terminal how progress is shown."""
        self._bars = _bars() if sys.stderr.isatty() else None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}

    def __enter__(self) -> "ProgressBar":
        """Begin to draw."""
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the bars as they stand."""
        if self._bars is not None:
            self._bars.stop()

    def __call__(self, done: int, total: int, label: str) -> None:
        """Show that `done` of `total` units of `label` are finished."""
        if self._bars is None:
            self._line(done, total, label)
            return
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total or None)
        self._bars.update(self._tasks[label], completed=done, total=total or None)

    def _line(self, done: int, total: int, label: str) -> None:
        if label not in self._started:
            self._started[label] = time.perf_counter()
            say(f"{label}: {total} to do")
        if total and done >= total:
            say(f"{label}: done in {time.perf_counter() - self._started.pop(label):.1f} s")


def _bars() -> "Bars":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left", markup=False),
        TimeRemainingColumn(),
        console=console(err=True),
    )
