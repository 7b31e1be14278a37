"""A function in a process of its own, so that it can be given up when it takes too long."""

import importlib
import multiprocessing
import threading
from multiprocessing.connection import Connection
from typing import Any

_START_LIMIT = 120.0


class TookTooLong(TimeoutError):
    """The call ran into its time limit; the process was ended."""


class WorkerFailed(RuntimeError):
    """The function raised, or its process died; the message says what."""


class Worker:
    """A process that calls one function again and again; it is restarted when it had to be ended.

    The function is named `module:function`, takes one argument and is imported in the process
    only, so that a heavy library stays out of this one.
    """

    def __init__(self, function: str) -> None:
        """Name the function; no process is started before the first call."""
        self.function = function
        self._lock = threading.Lock()
        self._process: Any = None
        self._pipe: Connection | None = None

    def call(self, argument: Any, *, seconds: float) -> Any:
        """Return what the function returns.

        Raises:
            TookTooLong: it did not return within `seconds`.
            WorkerFailed: it raised, or its process died.
        """
        with self._lock:
            pipe = self._started()
            try:
                pipe.send(argument)
                if not pipe.poll(seconds):
                    self.close()
                    raise TookTooLong(f"no answer within {seconds:g} s")
                is_fine, value = pipe.recv()
            except (EOFError, OSError) as error:
                if isinstance(error, TookTooLong):
                    raise
                self.close()
                raise WorkerFailed(f"the process ended: {error or 'no reason given'}") from error
            except KeyboardInterrupt:
                self.close()
                raise
        if not is_fine:
            raise WorkerFailed(value)
        return value

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _started(self) -> Connection:
        if self._pipe is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_work, args=(theirs, self.function), daemon=True)
            self._process.start()
            theirs.close()
            if not self._pipe.poll(_START_LIMIT) or self._pipe.recv() != "ready":
                self.close()
                raise WorkerFailed(f"{self.function} could not be imported")
        return self._pipe


def _work(pipe: Connection, name: str) -> None:
    module, _, function = name.partition(":")
    call = getattr(importlib.import_module(module), function)
    pipe.send("ready")
    while True:
        try:
            argument = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer = (True, call(argument))
        except Exception as error:
            answer = (False, f"{type(error).__name__}: {error}")
        pipe.send(answer)
