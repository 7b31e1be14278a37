"""Progress as something passed in: a front end decides how it is shown."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Receives how far a piece of work has come."""

    def __call__(self, done: int, total: int, label: str) -> None:
        """Record that `done` of `total` units of `label` are finished."""


def silent(done: int, total: int, label: str) -> None:
    """Show nothing."""
