"""The one door: every front end builds a spec and calls `execute`."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from workbench.errors import (
    NotStored,
    StoreError,
    WorkbenchError,
)
from workbench.methods.contracts import (
    Context,
    Unfitted,
)
from workbench.model.model import Model
from workbench.progress import Progress, silent
from workbench.result.finite_result import check_finite
from workbench.result.result import UNFITTED, Result
from workbench.runs.bad_rows import with_bad_rows
from workbench.runs.drivers import Job, resolved
from workbench.runs.interrupts import unbroken
from workbench.runs.run import Failure, Run, Status, environment
from workbench.runs.spec import ModelRef, RunSpec
from workbench.runs.store import Store


def execute(
    spec: RunSpec,
    *,
    store: Store | None = None,
    progress: Progress = silent,
    model: Model | None = None,
    fresh: bool = False,
) -> Run:
    """Do the work a spec describes, keep it in the store, and return the run.

    A finished run of the same spec on the same data and the same model files is returned from the
    store unless `fresh`.
    Whatever stops the work, the run is stored with what was done so far, but never in the place
    of a finished one. `model` replaces loading `spec.model` with a model already in memory. A
    recipe keeps its weights in `store.checkpoint(run_id)`, and goes on from there when it was
    stopped, unless `fresh`.

    Raises:
        WorkbenchError: input that never could run (unknown names, bad options, unreadable
            files); nothing is stored then. Errors after that are stored in `Run.failure`.
        NotStored: the run could not be written; the error holds it.
        KeyboardInterrupt: passed on after the partial run was stored, as is every error that is
            not a `WorkbenchError`.
    """
    job = _on_model(prepare(spec, store), model)
    finished = store is not None and store.status(job.spec.run_id) in ("complete", "partial")
    if store is not None and finished and not fresh and _is_fixed(job.spec.model):
        return store.get(job.spec.run_id)
    started = datetime.now(UTC)
    clock = time.perf_counter()
    outcome = _attempt(job, model, _context(job, store, progress, fresh=fresh))
    run = Run(
        spec=job.spec,
        status=outcome.status,
        result=outcome.result,
        failure=outcome.failure,
        provenance={
            "started": started.isoformat(timespec="milliseconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "seed": job.spec.seed,
            "source": job.plugin.source,
            "spec_hash": job.spec.hash,
            "model": vars(outcome.model.spec) if outcome.model else {},
            **environment(),
        },
    )
    if store is not None and not (finished and run.status in ("failed", "interrupted")):
        _keep(run, store, outcome.error)
        if run.status in ("complete", "partial"):
            store.clear_scratch(run.run_id)
    if outcome.error is not None and not isinstance(outcome.error, WorkbenchError):
        raise outcome.error
    return run


def _on_model(job: Job, model: Model | None) -> Job:
    """Pin the content of a model in memory, which need not be what its name stands for."""
    ref = job.spec.model
    if model is None or ref is None:
        return job
    from workbench.model.identity import loaded_content

    content = loaded_content(model, ref.name, ref.sha256)
    return replace(job, spec=replace(job.spec, model=replace(ref, sha256=content)))


def _is_fixed(ref: ModelRef | None) -> bool:
    from workbench.model.identity import is_fixed

    return ref is None or is_fixed(ref.name, ref.sha256)


def _keep(run: Run, store: Store, error: BaseException | None) -> None:
    try:
        with unbroken():
            store.put(run)
    except StoreError as problem:
        raise NotStored(problem.message, run=run, hint=problem.hint) from problem
    if error is not None:
        error.add_note(f"what was done is kept as {run.run_id}")


def prepare(spec: RunSpec, store: Store | None = None) -> Job:
    """Check everything that can be checked before a model is loaded.

    Raises:
        WorkbenchError: unknown plugin, bad options, unreadable data.
    """
    job = resolved(spec, store)
    return job.driver.read(job)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Attempt:
    status: Status
    result: Result | None = None
    failure: Failure | None = None
    error: BaseException | None = None
    model: Model | None = None


def _attempt(job: Job, model: Model | None, context: Context) -> _Attempt:
    try:
        model = model or job.driver.model(job, context)
        done = job.driver.run(job, model, context)
        check_finite(done.result)
    except KeyboardInterrupt as error:
        return _Attempt(status="interrupted", failure=Failure.of(error), error=error, model=model)
    except Unfitted as error:
        failure = Failure.of(error)
        return _Attempt(status="failed", result=error.result, failure=failure, error=error)
    except Exception as error:
        return _Attempt(status="failed", failure=Failure.of(error), error=error, model=model)
    bad = (*job.bad, *done.bad)
    is_partial = bool(bad) or any(note.code == UNFITTED for note in done.result.notes)
    return _Attempt(
        status="interrupted" if done.stop else "partial" if is_partial else "complete",
        result=with_bad_rows(done.result, bad),
        failure=Failure.of(done.stop) if done.stop else None,
        error=done.stop,
        model=model,
    )


def _context(job: Job, store: Store | None, progress: Progress, *, fresh: bool) -> Context:
    spec, scratch = job.spec, None
    if store is not None:
        keep = store.checkpoint if job.driver.keeps_weights else store.scratch
        scratch = keep(spec.run_id)
    return Context(
        seed=spec.seed,
        resamples=spec.resamples,
        progress=progress,
        task=spec.data.task,
        limit=spec.data.limit,
        scratch=scratch,
        store=store.folder if store is not None else None,
        resume=not fresh,
    )
