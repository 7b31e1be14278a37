"""Symbolic comparison in a process of its own, so that a hard expression can be given up."""

import multiprocessing
import threading
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

_START_LIMIT = 60.0


class SymbolicJudge:
    """A worker process that compares expressions with math-verify.

    It is restarted after a comparison that ran out of time.
    """

    def __init__(self) -> None:
        """Start no process before the first comparison."""
        self._lock = threading.Lock()
        self._process: Any = None
        self._pipe: Connection | None = None

    @staticmethod
    @cache
    def shared() -> "SymbolicJudge":
        """Return the judge of this process."""
        return SymbolicJudge()

    def equal(self, found: str, wanted: str, *, seconds: float) -> bool:
        """Whether two expressions are equal; False when the time runs out."""
        with self._lock:
            pipe = self._started()
            try:
                pipe.send((found, wanted))
                if pipe.poll(seconds):
                    return bool(pipe.recv())
            except (EOFError, OSError):
                pass
            self.close()
            return False

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def _started(self) -> Connection:
        if self._pipe is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_work, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
            self._pipe.poll(_START_LIMIT)
            self._pipe.recv()
        return self._pipe


def _work(pipe: Connection) -> None:
    from math_verify import parse, verify

    pipe.send("ready")
    while True:
        try:
            found, wanted = pipe.recv()
        except EOFError:
            return
        left, right = (
            parse(f"${text}$", parsing_timeout=None, raise_on_error=False)
            for text in (wanted, found)
        )
        pipe.send(verify(left, right, timeout_seconds=None, raise_on_error=False))
