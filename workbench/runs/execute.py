"""The one door: every front end builds a spec and calls `execute`."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from workbench.errors import (
    InputError,
    NotStored,
    StoreError,
    WorkbenchError,
)
from workbench.methods.contracts import (
    Context,
    Discovery,
    Example,
    Measure,
    Question,
    Reasoner,
    Recipe,
    Refuter,
    Stopped,
    Study,
    Unfitted,
)
from workbench.methods.registry import Plugin, find
from workbench.model.model import Model
from workbench.options import build, plain
from workbench.progress import Progress, silent
from workbench.result.finite_result import check_finite
from workbench.result.result import UNFITTED, Result
from workbench.result.tables import Table
from workbench.runs.bad_rows import with_bad_rows
from workbench.runs.counting import Done, count_arrays, count_texts
from workbench.runs.graphs import FoundGraph, judge_graph, open_graph, pinned_graph
from workbench.runs.interrupts import unbroken
from workbench.runs.models import shared_model
from workbench.runs.overflow import finite_only
from workbench.runs.reading import BadRow, read_examples
from workbench.runs.run import Failure, Run, Status, environment
from workbench.runs.solving import solve_task, with_task
from workbench.runs.spec import ModelRef, RunSpec
from workbench.runs.store import Store


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A spec made ready: its plugin built, its rows read, its options and data pinned."""

    spec: RunSpec
    plugin: Plugin
    recipe: Any
    examples: tuple[Example, ...] = ()
    bad: tuple[BadRow, ...] = ()
    about: FoundGraph | None = None


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
    plugin = find(spec.kind, spec.name)
    recipe: Any = build(plugin.recipe, spec.options)
    spec = replace(spec, options=plain(recipe)).pinned()
    if isinstance(recipe, Discovery):
        if spec.data.is_dataset:
            raise InputError(
                f"{spec.name} reads a table of scores, not {spec.data.path}",
                hint="save it as CSV or Parquet and give the file",
            )
        return Job(spec=replace(spec, model=None), plugin=plugin, recipe=recipe)
    if isinstance(recipe, Question | Refuter):
        about = open_graph(store, spec)
        spec = pinned_graph(spec, about)
        return Job(spec=spec, plugin=plugin, recipe=recipe, about=about)
    if spec.data.activations:
        if not isinstance(recipe, Measure):
            raise InputError(
                f"{spec.name} cannot read an activation file", hint="isotropy can; use --data"
            )
        return Job(spec=replace(spec, model=None), plugin=plugin, recipe=recipe)
    if isinstance(recipe, Reasoner):
        return Job(spec=with_task(spec), plugin=plugin, recipe=recipe)
    if hasattr(recipe, "default_task"):
        data = replace(spec.data, task=spec.data.task or recipe.default_task)
        return Job(spec=replace(spec, data=data).pinned(), plugin=plugin, recipe=recipe)
    if spec.data.task:
        raise InputError(f"{spec.name} reads texts, not tasks", hint="use --text or --data")
    examples, bad = read_examples(spec.data)
    if spec.data.path == "-":
        spec = replace(spec, data=replace(spec.data, sha256=_rows_hash(examples, bad)))
    return Job(spec=spec, plugin=plugin, recipe=recipe, examples=tuple(examples), bad=tuple(bad))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Outcome:
    status: Status
    result: Result | None = None
    failure: Failure | None = None
    error: BaseException | None = None
    model: Model | None = None


def _attempt(job: Job, model: Model | None, context: Context) -> _Outcome:
    try:
        model = model or _model(job, context)
        done = _run(job, model, context)
        check_finite(done.result)
    except KeyboardInterrupt as error:
        return _Outcome(status="interrupted", failure=Failure.of(error), error=error, model=model)
    except Unfitted as error:
        failure = Failure.of(error)
        return _Outcome(status="failed", result=error.result, failure=failure, error=error)
    except Exception as error:
        return _Outcome(status="failed", failure=Failure.of(error), error=error, model=model)
    bad = (*job.bad, *done.bad)
    is_partial = bool(bad) or any(note.code == UNFITTED for note in done.result.notes)
    return _Outcome(
        status="interrupted" if done.stop else "partial" if is_partial else "complete",
        result=with_bad_rows(done.result, bad),
        failure=Failure.of(done.stop) if done.stop else None,
        error=done.stop,
        model=model,
    )


def _model(job: Job, context: Context) -> Model | None:
    """Load the model of the spec, or let a recipe that begins from nothing build its own."""
    build_own = getattr(job.recipe, "base_model", None)
    own: Model | None = build_own(context) if build_own is not None else None
    if own is None and job.spec.model is not None:
        return shared_model(job.spec.model, context.progress)
    return own


def _context(job: Job, store: Store | None, progress: Progress, *, fresh: bool) -> Context:
    spec, scratch = job.spec, None
    if store is not None:
        is_recipe = isinstance(job.recipe, Recipe)
        scratch = store.checkpoint(spec.run_id) if is_recipe else store.scratch(spec.run_id)
    return Context(
        seed=spec.seed,
        resamples=spec.resamples,
        progress=progress,
        task=spec.data.task,
        limit=spec.data.limit,
        scratch=scratch,
        resume=not fresh,
    )


def _run(job: Job, model: Model | None, context: Context) -> Done:
    recipe: Any = job.recipe
    if job.about is not None:
        return Done(result=judge_graph(recipe, job.about, context))
    if isinstance(recipe, Discovery):
        return Done(result=recipe.fit(_table(recipe, job.spec), context))
    if job.spec.data.activations:
        return count_arrays(job.recipe, job.spec, context)
    if model is None:
        raise InputError(f"{job.spec.name} needs a model", hint="add [model] to the spec")
    context = replace(context, spec=model.spec, unembed=model.unembed, decode=model.decode)

    def work(examples: Sequence[Example]) -> Done:
        return _on_texts(replace(job, examples=tuple(examples)), model, context)

    return finite_only(work, job.examples, model, job.spec)


def _on_texts(job: Job, model: Model, context: Context) -> Done:
    recipe: Any = job.recipe
    try:
        if isinstance(recipe, Recipe):
            return Done(result=recipe.train(model, job.examples, context))
        if isinstance(recipe, Study):
            return Done(result=recipe.study(model, job.examples, context))
        if isinstance(recipe, Reasoner):
            return solve_task(recipe, job.spec, model, context)
    except Stopped as stop:
        return Done(result=stop.result, stop=stop)
    return count_texts(recipe, job.spec, job.examples, model, context)


def _rows_hash(examples: Sequence[Example], bad: Sequence[BadRow]) -> str:
    rows = [[e.text, e.label, e.group, dict(e.fields)] for e in examples]
    told = [vars(row) for row in bad]
    return hashlib.sha256(json.dumps([rows, told], default=str).encode()).hexdigest()


def _table(recipe: Any, spec: RunSpec) -> Table:
    table: Table = recipe.read(spec.data.file)
    return table
