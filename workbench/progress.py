"""Progress as something passed in: a front end decides how it is shown."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Receives how far a piece of work has come."""

    def __call__(self, done: int, total: int, label: str) -> None:
        """Record that `done` of `total` units of `label` are finished."""


def silent(done: int, total: int, label: str) -> None:
    """Show nothing."""


_stop: ContextVar[Callable[[], bool] | None] = ContextVar("stop", default=None)


@contextmanager
def stoppable(is_asked: Callable[[], bool]) -> Iterator[None]:
    """Let the work in this block be stopped between two forward passes, where it may be long."""
    before = _stop.set(is_asked)
    try:
        yield
    finally:
        _stop.reset(before)


def check_stop() -> None:
    """Stop here if that was asked for, once: what follows is the report of what was done.

    Raises:
        KeyboardInterrupt: the work is to stop.
    """
    is_asked = _stop.get()
    if is_asked is not None and is_asked():
        _stop.set(None)
        raise KeyboardInterrupt
