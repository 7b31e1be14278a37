"""A function in a process of its own, so that it can be given up when it takes too long."""

import atexit
import importlib
import json
import signal
import subprocess
import sys
import threading
from multiprocessing.connection import Connection, Pipe
from typing import Any

from workbench.errors import EnvironmentProblem

_START_LIMIT = 120.0
# The caller's own script is not imported: it may not guard its `__main__`, or have no file at all.
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from workbench.worker import serve; serve(int(sys.argv[2]), sys.argv[3])"
)


class TookTooLong(TimeoutError):
    """The call ran into its time limit; the process was ended."""


class WorkerFailed(RuntimeError):
    """The function raised, or its process died; the message says what."""


class Worker:
    """A process that calls one function again and again; it is restarted when it had to be ended.

    The function is named `module:function`, takes one argument and is imported in the process
    only, so that a heavy library stays out of this one. Argument and answer are of types that
    the process can import too.
    """

    def __init__(self, function: str) -> None:
        """Name the function; no process is started before the first call."""
        self.function = function
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def call(self, argument: Any, *, seconds: float | None = None) -> Any:
        """Return what the function returns, waiting without an end unless `seconds` are given.

        Raises:
            TookTooLong: it did not return within `seconds`.
            WorkerFailed: it raised, or its process died.
            EnvironmentProblem: the process could not be started, or lacks the function.
        """
        with self._lock:
            try:
                pipe = self._started()
                pipe.send(argument)
                answer = pipe.recv() if pipe.poll(seconds) else None
            except (EnvironmentProblem, KeyboardInterrupt):
                self.close()
                raise
            except (EOFError, OSError) as error:
                self.close()
                raise WorkerFailed(
                    f"the process ended: {str(error) or 'no reason given'}"
                ) from error
            if answer is None:
                self.close()
                raise TookTooLong(f"no answer within {seconds:g} s")
        is_fine, value = answer
        if not is_fine:
            raise WorkerFailed(value)
        return value

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            atexit.unregister(self.close)

    def _started(self) -> Connection:
        if self._pipe is None or self._process is None or self._process.poll() is not None:
            self._pipe, theirs = Pipe()
            with theirs:
                self._process = _start(self.function, theirs)
            # Ended with this program too, even in the middle of a call.
            atexit.register(self.close)
            self._greet(self._pipe)
        return self._pipe

    def _greet(self, pipe: Connection) -> None:
        try:
            problem = pipe.recv() if pipe.poll(_START_LIMIT) else f"silent for {_START_LIMIT:g} s"
        except (EOFError, OSError):
            problem = "it ended at once"
        if problem:
            raise EnvironmentProblem(
                f"{self.function} cannot be run in a process of its own: {problem}",
                hint=f"it runs {sys.executable}; see `workbench doctor`",
            )


def serve(handle: int, name: str) -> None:
    """Answer the calls that arrive on an open pipe until it closes: the work of the process."""
    # A Ctrl-C reaches both processes; the one that asked ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = Connection(handle)
    try:
        module, _, function = name.partition(":")
        call = getattr(importlib.import_module(module), function)
    except Exception as error:
        pipe.send(_said(error))
        return
    pipe.send("")
    while True:
        try:
            argument = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, call(argument))
        except Exception as error:
            answer = (False, _said(error))
        pipe.send(answer)


def _start(function: str, pipe: Connection) -> subprocess.Popen[bytes]:
    if not sys.executable or getattr(sys, "frozen", False):
        raise EnvironmentProblem(
            "this program has no Python interpreter with which to start a second process",
            hint="run the workbench with an ordinary Python installation",
        )
    places = json.dumps([place for place in sys.path if isinstance(place, str)])
    handle = pipe.fileno()
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, places, str(handle), function],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(handle,),
        )
    except OSError as error:
        raise EnvironmentProblem(f"cannot start {sys.executable}: {error.strerror}") from error


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
