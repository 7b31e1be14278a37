"""The one door: every front end builds a spec and calls `execute`."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from workbench.errors import DataError, InputError, PluginError, WorkbenchError
from workbench.methods.contracts import (
    Context,
    Discovery,
    Example,
    Measure,
    ReadoutProbe,
    Study,
    Tally,
)
from workbench.methods.registry import Plugin, find
from workbench.model.model import Model
from workbench.options import build, plain
from workbench.progress import Progress, silent
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.runs.batching import plan
from workbench.runs.models import shared_model
from workbench.runs.reading import BadRow, read_examples
from workbench.runs.run import Failure, Run, Status, environment
from workbench.runs.spec import RunSpec
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

    A finished run of the same spec on the same data is returned from the store unless `fresh`.
    Whatever stops the work, the run is stored with what was done so far. `model` replaces
    loading `spec.model` with a model already in memory.

    Raises:
        WorkbenchError: input that never could run (unknown names, bad options, unreadable
            files); nothing is stored then. Errors after that are stored in `Run.failure`.
        KeyboardInterrupt: passed on after the partial run was stored.
    """
    job = prepare(spec)
    if store is not None and not fresh and job.spec.run_id in store:
        found = store.get(job.spec.run_id)
        if found.status in ("complete", "partial"):
            return found
    started = datetime.now(UTC)
    clock = time.perf_counter()
    outcome = _attempt(job, progress, model)
    run = Run(
        spec=job.spec,
        status=outcome.status,
        result=outcome.result,
        failure=outcome.failure,
        provenance={
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "seed": job.spec.seed,
            "source": job.plugin.source,
            "spec_hash": job.spec.hash,
            "model": vars(outcome.model.spec) if outcome.model else {},
            **environment(),
        },
    )
    if store is not None:
        store.put(run)
    if isinstance(outcome.error, KeyboardInterrupt):
        raise outcome.error
    return run


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A spec made ready: its plugin built, its rows read, its options and data pinned."""

    spec: RunSpec
    plugin: Plugin
    recipe: Any
    examples: tuple[Example, ...] = ()
    bad: tuple[BadRow, ...] = ()


def prepare(spec: RunSpec) -> Job:
    """Check everything that can be checked before a model is loaded.

    Raises:
        WorkbenchError: unknown plugin, bad options, unreadable data.
    """
    plugin = find(spec.kind, spec.name)
    recipe: Any = build(plugin.recipe, spec.options)
    spec = replace(spec, options=plain(recipe)).pinned()
    if isinstance(recipe, Discovery):
        return Job(spec=replace(spec, model=None), plugin=plugin, recipe=recipe)
    if spec.data.activations:
        if not isinstance(recipe, Measure):
            raise InputError(
                f"{spec.name} cannot read an activation file", hint="isotropy can; use --data"
            )
        return Job(spec=replace(spec, model=None), plugin=plugin, recipe=recipe)
    examples, bad = read_examples(spec.data)
    if spec.data.path == "-":
        digest = hashlib.sha256("\0".join(e.text for e in examples).encode()).hexdigest()
        spec = replace(spec, data=replace(spec.data, sha256=digest))
    return Job(spec=spec, plugin=plugin, recipe=recipe, examples=tuple(examples), bad=tuple(bad))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Outcome:
    status: Status
    result: Result | None = None
    failure: Failure | None = None
    error: BaseException | None = None
    model: Model | None = None


def _attempt(job: Job, progress: Progress, model: Model | None) -> _Outcome:
    try:
        if job.spec.model is not None and model is None:
            model = shared_model(job.spec.model)
        result, stop = _run(job, model, progress)
    except KeyboardInterrupt as error:
        return _Outcome(status="interrupted", failure=Failure.of(error), error=error, model=model)
    except WorkbenchError as error:
        return _Outcome(status="failed", failure=Failure.of(error), error=error, model=model)
    if stop is not None:
        failure = Failure.of(stop)
        return _Outcome(
            status="interrupted", result=result, failure=failure, error=stop, model=model
        )
    result = _with_bad_rows(result, job.bad)
    return _Outcome(status="partial" if job.bad else "complete", result=result, model=model)


def _run(
    job: Job, model: Model | None, progress: Progress
) -> tuple[Result, KeyboardInterrupt | None]:
    recipe: Any = job.recipe
    context = Context(seed=job.spec.seed, resamples=job.spec.resamples, progress=progress)
    if isinstance(recipe, Discovery):
        return recipe.fit(_table(recipe, job.spec), context), None
    if job.spec.data.activations:
        return _run_on_arrays(job, context)
    if model is None:
        raise InputError(f"{job.spec.name} needs a model", hint="add [model] to the spec")
    context = replace(context, spec=model.spec, unembed=model.unembed, decode=model.decode)
    if isinstance(recipe, Study):
        return recipe.study(model, job.examples, context), None
    return _run_measure(job, model, context)


def _run_measure(
    job: Job, model: Model, context: Context
) -> tuple[Result, KeyboardInterrupt | None]:
    tally = start(job.recipe, context)
    sites = model.sites(job.recipe.sites(model.spec))
    work = plan(
        model, job.examples, max_tokens=job.spec.max_tokens, batch_tokens=job.spec.batch_tokens
    )
    done = 0
    stop = None
    context.progress(0, len(job.examples), "texts")
    try:
        for batch in work.batches():
            tally.add(model.run(batch.tokens.to(model.device), read=sites), batch.examples)
            done += len(batch.examples)
            context.progress(done, len(job.examples), "texts")
    except KeyboardInterrupt as error:
        if not done:
            raise
        stop = error
    result = tally.result(context)
    notes = list(result.notes)
    if work.n_cut:
        notes.append(
            Note(f"{work.n_cut} texts were cut to {job.spec.max_tokens} tokens", "warning")
        )
    if stop is not None:
        notes.append(Note(f"stopped after {done} of {len(job.examples)} texts", "warning"))
    return replace(result, notes=tuple(notes)), stop


def _run_on_arrays(job: Job, context: Context) -> tuple[Result, None]:
    from workbench.runs.activation_file import open_activations

    path = job.spec.data.file
    if path is None:
        raise DataError("no activation file was given")
    source = open_activations(path)
    context = replace(context, spec=source.spec)
    tally = start(job.recipe, context)
    for trace, examples in source.batches(context.progress):
        tally.add(trace, examples)
    return tally.result(context), None


def start(recipe: Any, context: Context) -> Tally:
    """Begin counting for a measure, or for a readout probe through the evaluator.

    Raises:
        PluginError: the class is neither.
    """
    if isinstance(recipe, Measure):
        tally: Tally = recipe.start(context)
        return tally
    if isinstance(recipe, ReadoutProbe):
        from workbench.methods.evaluate import ReadoutTally

        return ReadoutTally(recipe, context)
    raise PluginError(
        f"{type(recipe).__name__} has none of the methods start, fit and study",
        hint="see docs/howto/new-probe",
    )


def _table(recipe: Any, spec: RunSpec) -> Table:
    table: Table = recipe.read(spec.data.file)
    return table


def _with_bad_rows(result: Result, bad: Sequence[BadRow]) -> Result:
    if not bad:
        return result
    rows = [vars(row) for row in bad]
    columns = {"source": Column(help="File and line."), "reason": Column(help="What is wrong.")}
    note = Note(
        f"{len(bad)} rows could not be used; table bad_rows names each", "warning", "bad-rows"
    )
    tables = {**result.tables, "bad_rows": Table.from_rows(rows, columns)}
    return replace(result, tables=tables, notes=(*result.notes, note))
