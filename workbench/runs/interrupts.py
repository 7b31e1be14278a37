"""Pieces of work that being stopped must not cut in half."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def unbroken() -> Iterator[None]:
    """Hold a stop (Ctrl-C, or SIGTERM where it is handled) back until the block has finished.

    Python delivers signals to the main thread only; in other threads nothing has to be done.

    Raises:
        KeyboardInterrupt: the program was told to stop during the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _STOPS}
    before = {number: handler for number, handler in handlers.items() if callable(handler)}
    told: list[int] = []
    for number in before:
        signal.signal(number, lambda number, frame: told.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if told:
        raise KeyboardInterrupt
