"""One driver per shape of plugin: how a spec is made ready, and how it is run.

A shape that counts traces is one line in `counting.STARTS`; any other one line in `_DRIVERS`.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from workbench.errors import InputError
from workbench.methods.contracts import (
    BringsModel,
    Context,
    Discovery,
    Example,
    Measure,
    OnTask,
    Question,
    Reasoner,
    Recipe,
    Refuter,
    Stopped,
    Study,
)
from workbench.methods.registry import Plugin, find
from workbench.methods.shapes import follows
from workbench.model.model import Model
from workbench.options import build, plain
from workbench.result.result import Result
from workbench.runs.batching import runnable
from workbench.runs.counting import STARTS, Outcome, count_arrays, count_texts, no_shape
from workbench.runs.graphs import FoundGraph, open_graph
from workbench.runs.models import shared_model
from workbench.runs.overflow import finite_only
from workbench.runs.reading import BadRow, read_examples
from workbench.runs.solving import check_no_texts, skipped_rows, solve_task, with_task
from workbench.runs.spec import RunSpec
from workbench.runs.store import Store
from workbench.sampling.task import open_task


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """A spec made ready: its plugin built, its rows read, its options and data pinned."""

    spec: RunSpec
    plugin: Plugin
    recipe: Any
    examples: tuple[Example, ...] = ()
    bad: tuple[BadRow, ...] = ()
    about: FoundGraph | None = None

    @property
    def driver(self) -> "Driver":
        """The driver of its recipe."""
        return driver_of(self.recipe)


class Driver(ABC):
    """What `execute`, the batch and the front ends need to know of a shape."""

    can_batch: ClassVar[bool] = False
    """Whether it counts traces, and so can share a forward pass with others."""
    keeps_weights: ClassVar[bool] = False
    """Whether `Context.scratch` is the checkpoint that the run leaves behind."""
    reads_activations: ClassVar[bool] = False
    """Whether an activation file may stand in for texts and a model."""

    @abstractmethod
    def resolve(self, job: Job, store: Store | None) -> Job:
        """Check a job whose plugin is built and pin its data, reading no rows."""

    def read(self, job: Job) -> Job:
        """Read the rows."""
        return job

    def model(self, job: Job, context: Context) -> Model | None:
        """Load the model of the spec, None where none is named."""
        return shared_model(job.spec.model, context.progress) if job.spec.model else None

    @abstractmethod
    def run(self, job: Job, model: Model | None, context: Context) -> Outcome:
        """Do the work."""


class _OnTable(Driver):
    def resolve(self, job: Job, store: Store | None) -> Job:
        if job.spec.data.is_dataset:
            raise InputError(
                f"{job.spec.name} reads a table of scores, not {job.spec.data.path}",
                hint="save it as CSV or Parquet and give the file",
            )
        return replace(job, spec=replace(job.spec, model=None))

    def run(self, job: Job, model: Model | None, context: Context) -> Outcome:
        table = job.recipe.read(job.spec.data.file)
        return Outcome(result=job.recipe.fit(table, context))


class _OnGraph(Driver):
    def resolve(self, job: Job, store: Store | None) -> Job:
        about = open_graph(store, job.spec)
        return replace(job, spec=replace(job.spec, graph=about.run_id, model=None), about=about)

    def run(self, job: Job, model: Model | None, context: Context) -> Outcome:
        if job.about is None:
            raise InputError(f"{job.spec.name} is about a graph and none was opened")
        return Outcome(result=self.judge(job.recipe, job.about, context))

    @abstractmethod
    def judge(self, recipe: Any, about: FoundGraph, context: Context) -> Result:
        """Answer from a graph and the table it was fitted to."""


class _Questioning(_OnGraph):
    def judge(self, recipe: Question, about: FoundGraph, context: Context) -> Result:
        return recipe.ask(about.result, about.table, context)


class _Refuting(_OnGraph):
    def judge(self, recipe: Refuter, about: FoundGraph, context: Context) -> Result:
        return recipe.check(about.result, about.table, context)


class _OnModel(Driver):
    def resolve(self, job: Job, store: Store | None) -> Job:
        if job.spec.data.activations:
            raise InputError(
                f"{job.spec.name} cannot read an activation file", hint="isotropy can; use --data"
            )
        return job

    def run(self, job: Job, model: Model | None, context: Context) -> Outcome:
        if model is None:
            raise InputError(f"{job.spec.name} needs a model", hint="add [model] to the spec")
        context = context.on(model)

        def work(examples: Sequence[Example]) -> Outcome:
            # What was kept so far is that of all rows, which is no beginning of fewer.
            resumes = context.resume and len(examples) == len(job.examples)
            known = replace(context, resume=resumes)
            try:
                return self.work(replace(job, examples=tuple(examples)), model, known)
            except Stopped as stop:
                return Outcome(result=stop.result, stop=stop)

        return finite_only(work, job.examples, model, job.spec)

    @abstractmethod
    def work(self, job: Job, model: Model, context: Context) -> Outcome:
        """Do the work on the rows of the job."""


class _Reasoning(_OnModel):
    def resolve(self, job: Job, store: Store | None) -> Job:
        return replace(super().resolve(job, store), spec=with_task(job.spec))

    def work(self, job: Job, model: Model, context: Context) -> Outcome:
        return solve_task(job.recipe, job.spec, model, context)


class _OnInputs(_OnModel):
    """Works on texts, or on the problems of a task where the recipe names one."""

    def resolve(self, job: Job, store: Store | None) -> Job:
        job = super().resolve(job, store)
        data = job.spec.data
        if isinstance(job.recipe, OnTask):
            check_no_texts(job.spec, job.recipe.default_task)
            data = replace(data, task=data.task or job.recipe.default_task)
            return replace(job, spec=replace(job.spec, data=data).pinned())
        if data.task:
            raise InputError(f"{job.spec.name} reads texts, not tasks", hint="use --text or --data")
        return job

    def read(self, job: Job) -> Job:
        if isinstance(job.recipe, OnTask):
            return job
        examples, bad = read_examples(job.spec.data)
        spec = job.spec
        if spec.data.path == "-":
            spec = replace(spec, data=replace(spec.data, sha256=_rows_hash(examples, bad)))
        return replace(job, spec=spec, examples=tuple(examples), bad=tuple(bad))


class _Studying(_OnInputs):
    def work(self, job: Job, model: Model, context: Context) -> Outcome:
        good, skipped = runnable(model, job.examples)
        bad = (*_skipped(job), *(BadRow(source=e.source, reason=why) for e, why in skipped))
        try:
            return Outcome(result=job.recipe.study(model, tuple(good), context), bad=bad)
        except Stopped as stop:
            return Outcome(result=stop.result, bad=bad, stop=stop)


def _skipped(job: Job) -> tuple[BadRow, ...]:
    data = job.spec.data
    return skipped_rows(open_task(data.task), data.limit) if data.task else ()


class _Training(_OnInputs):
    keeps_weights = True

    def model(self, job: Job, context: Context) -> Model | None:
        own = job.recipe.base_model(context) if isinstance(job.recipe, BringsModel) else None
        return own or super().model(job, context)

    def work(self, job: Job, model: Model, context: Context) -> Outcome:
        result = job.recipe.train(model, job.examples, context)
        return Outcome(result=result, bad=_skipped(job))


class _Counting(_OnInputs):
    can_batch = True

    def work(self, job: Job, model: Model, context: Context) -> Outcome:
        return count_texts(job.recipe, job.spec, job.examples, model, context)


class _Measuring(_Counting):
    reads_activations = True

    def resolve(self, job: Job, store: Store | None) -> Job:
        if not job.spec.data.activations:
            return super().resolve(job, store)
        return replace(job, spec=replace(job.spec, model=None))

    def read(self, job: Job) -> Job:
        return job if job.spec.data.activations else super().read(job)

    def run(self, job: Job, model: Model | None, context: Context) -> Outcome:
        if job.spec.data.activations:
            return count_arrays(job.recipe, job.spec, context)
        return super().run(job, model, context)


# The first protocol that a recipe follows decides.
_DRIVERS: tuple[tuple[type, Driver], ...] = (
    (Discovery, _OnTable()),
    (Question, _Questioning()),
    (Refuter, _Refuting()),
    (Reasoner, _Reasoning()),
    (Recipe, _Training()),
    (Study, _Studying()),
    (Measure, _Measuring()),
    *((shape, _Counting()) for shape, _ in STARTS),
)


def driver_of(recipe: object) -> Driver:
    """Return the driver of a recipe or of its class.

    Raises:
        PluginError: it follows none of the protocols.
    """
    for shape, driver in _DRIVERS:
        if follows(recipe, shape):
            return driver
    raise no_shape(recipe)


def opened(spec: RunSpec) -> Job:
    """Return a job with its plugin built and every option written out; nothing is read.

    Raises:
        WorkbenchError: unknown plugin, bad options.
    """
    plugin = find(spec.kind, spec.name)
    recipe: Any = build(plugin.recipe, spec.options)
    return Job(spec=replace(spec, options=plain(recipe)), plugin=plugin, recipe=recipe)


def resolved(spec: RunSpec, store: Store | None = None) -> Job:
    """Return a job with its options and data pinned, whose run id is that of its run.

    Rows that come by standard input are part of the id once they are read.

    Raises:
        WorkbenchError: unknown plugin, bad options, a file or a run that does not exist.
    """
    job = opened(spec)
    job = replace(job, spec=job.spec.pinned())
    return job.driver.resolve(job, store)


def _rows_hash(examples: Sequence[Example], bad: Sequence[BadRow]) -> str:
    rows = [[e.text, e.label, e.group, dict(e.fields)] for e in examples]
    told = [vars(row) for row in bad]
    return hashlib.sha256(json.dumps([rows, told], default=str).encode()).hexdigest()
