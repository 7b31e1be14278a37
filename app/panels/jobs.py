"""Runs that go on in the background, whether or not a browser is watching.

Every browser session of one server sees the same jobs. A job is known by the id of the run it
makes, so a page that is loaded again finds it.
"""

import atexit
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.errors import RunNotFound, WorkbenchError
from workbench.progress import stoppable
from workbench.runs.expected import expected_cost, time_left
from workbench.runs.run import Failure
from workbench.runs.spec import RunSpec
from workbench.runs.store import Store

State = Literal["waiting", "running", "done", "stopped", "failed"]

_AT_ONCE = 2
_KEEP_FINISHED = 200


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """How far a job has come; times in seconds, `rate` in units of `label` per second.

    `left` is that of the whole run where `is_whole`, else of the stage that is going on.
    """

    run_id: str
    name: str
    state: State
    done: int = 0
    total: int = 0
    label: str = ""
    elapsed: float = 0.0
    rate: float | None = None
    left: float | None = None
    is_whole: bool = False
    failure: Failure | None = None
    is_stopping: bool = False

    @property
    def is_live(self) -> bool:
        """Whether the work is still going on."""
        return self.state in ("waiting", "running")


@dataclass(kw_only=True, eq=False)
class _Job:
    """The changing state behind a snapshot, guarded by the lock of its list."""

    run_id: str
    spec: RunSpec
    state: State = "waiting"
    done: int = 0
    total: int = 0
    label: str = ""
    began: float = field(default_factory=time.monotonic)
    first: tuple[float, int] | None = None
    ended: float | None = None
    failure: Failure | None = None
    is_cancelled: bool = False
    expected: float | None = None
    finished: threading.Event = field(default_factory=threading.Event)


class Jobs:
    """The runs of one server process."""

    def __init__(self) -> None:
        """Start with none."""
        self._jobs: dict[str, _Job] = {}
        self._begun = 0
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(_AT_ONCE)

    def start(self, spec: RunSpec, store: Store, *, fresh: bool = False, model: Any = None) -> str:
        """Begin a run unless it is going on or stored already, and return its id.

        `model` is the model of the spec where it is in memory in a form of its own.

        Raises:
            WorkbenchError: the spec could never run (unknown names, bad options, unusable data).
        """
        from workbench.runs.execute import prepare

        ready = prepare(spec, store)
        run_id = ready.spec.run_id
        with self._lock:
            known = self._jobs.get(run_id)
            if known is not None and not known.finished.is_set():
                return run_id
            self._forget_old()
            job = _Job(run_id=run_id, spec=spec)
            self._jobs[run_id] = job
            self._begun += 1
        worker = threading.Thread(
            target=self._work, args=(job, store, fresh, model), name=f"run {run_id}", daemon=True
        )
        worker.start()
        return run_id

    @property
    def begun(self) -> int:
        """How many jobs were begun so far."""
        return self._begun

    def find(self, run_id: str) -> Snapshot | None:
        """Return how far a run of this server has come, None if it never began one."""
        with self._lock:
            job = self._jobs.get(run_id)
            return _snapshot(job) if job else None

    def live(self) -> list[Snapshot]:
        """List the jobs that are still going on, oldest first."""
        with self._lock:
            return [s for s in map(_snapshot, self._jobs.values()) if s.is_live]

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop at its next step; what it has counted by then is stored.

        Raises:
            RunNotFound: this server runs no such job.
        """
        with self._lock:
            if run_id not in self._jobs:
                raise RunNotFound(f"no run {run_id!r} is going on here")
            self._jobs[run_id].is_cancelled = True

    def wait(self, run_id: str, seconds: float) -> bool:
        """Wait until a job has ended, at most so many seconds; return whether it has."""
        with self._lock:
            job = self._jobs.get(run_id)
        return job is None or job.finished.wait(seconds)

    def stop_all(self, seconds: float = 5.0) -> None:
        """Stop every job and give each a moment to store what it has."""
        deadline = time.monotonic() + seconds
        with self._lock:
            live = [job for job in self._jobs.values() if not job.finished.is_set()]
            for job in live:
                job.is_cancelled = True
        for job in live:
            job.finished.wait(max(deadline - time.monotonic(), 0.0))

    def _work(self, job: _Job, store: Store, fresh: bool, model: Any) -> None:
        from workbench.runs.execute import execute

        try:
            # Those that share a model of their own are quick.
            if model is None:
                job.expected = expected_cost(job.spec, store).seconds
            with self._slots, stoppable(lambda: job.is_cancelled):
                self._set(job, "running")
                run = execute(
                    job.spec,
                    store=store,
                    fresh=fresh,
                    model=model,
                    progress=lambda done, total, label: self._note(job, done, total, label),
                )
            state: State = "failed" if run.status == "failed" else "done"
            self._set(job, state, run.failure)
        except KeyboardInterrupt as error:
            self._set(job, "stopped", Failure.of(error))
        except WorkbenchError as error:
            self._set(job, "failed", Failure.of(error))
        except Exception as error:  # the front-end door: nothing may end in silence
            self._set(job, "failed", Failure.of(error))
        finally:
            job.finished.set()

    def _set(self, job: _Job, state: State, failure: Failure | None = None) -> None:
        with self._lock:
            job.state, job.failure = state, failure
            if state == "running":
                job.began = time.monotonic()
            else:
                job.ended = time.monotonic()

    def _note(self, job: _Job, done: int, total: int, label: str) -> None:
        with self._lock:
            now = time.monotonic()
            if label != job.label or job.first is None or done < job.done:
                job.first = (now, done)
            job.done, job.total, job.label = done, total, label
            stop = job.is_cancelled
        if stop:
            raise KeyboardInterrupt

    def _forget_old(self) -> None:
        ended = [run_id for run_id, job in self._jobs.items() if job.finished.is_set()]
        for run_id in ended[: max(len(ended) - _KEEP_FINISHED, 0)]:
            del self._jobs[run_id]


def _snapshot(job: _Job) -> Snapshot:
    now = job.ended if job.ended is not None else time.monotonic()
    rate = left = None
    if job.first is not None and job.state == "running":
        spent, units = now - job.first[0], job.done - job.first[1]
        if spent > 0.2 and units > 0:
            rate = units / spent
            left = (job.total - job.done) / rate
    left, is_whole = time_left(job.expected, now - job.began, left)
    return Snapshot(
        run_id=job.run_id,
        name=job.spec.name,
        state=job.state,
        done=job.done,
        total=job.total,
        label=job.label,
        elapsed=now - job.began,
        rate=rate,
        left=left if job.state == "running" else None,
        is_whole=is_whole,
        failure=job.failure,
        is_stopping=job.is_cancelled,
    )


JOBS = Jobs()
atexit.register(JOBS.stop_all)
