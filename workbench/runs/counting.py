"""Measures and readout probes driven over a stream of traces."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.errors import DataError, PluginError
from workbench.methods.contracts import Accumulator, Context, Example, Measure, ReadoutProbe
from workbench.methods.per_unit import PerUnit
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.model import Model
from workbench.model.trace import Trace
from workbench.result.result import Note, Result
from workbench.runs.batching import plan
from workbench.runs.interrupts import unbroken
from workbench.runs.reading import BadRow
from workbench.runs.spec import RunSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """A result, the rows found unusable on the way, and what stopped the work early."""

    result: Result
    bad: tuple[BadRow, ...] = ()
    stop: KeyboardInterrupt | None = None


def count_texts(
    recipe: Any, spec: RunSpec, examples: Sequence[Example], model: Model, context: Context
) -> Outcome:
    """Run the model over all texts and count them; Ctrl-C keeps what was counted.

    Raises:
        WorkbenchError: a site that does not exist, or texts the measure cannot use.
    """
    accumulator = start(recipe, context)
    sites = model.sites(recipe.sites(model.spec))
    longest = recipe.text_limit if isinstance(recipe, PerUnit) else None
    work = plan(
        model,
        examples,
        max_tokens=min(spec.max_tokens, longest or spec.max_tokens),
        batch_tokens=spec.batch_tokens,
    )
    traces = ((model.run(batch.tokens, read=sites), batch.examples) for batch in work.batches())
    context.progress(0, len(work.examples), "texts")
    done, stop = _count(accumulator, traces, context, len(work.examples))
    result = accumulator.result(context)
    notes = list(result.notes)
    if work.n_cut:
        notes.append(Note(f"{work.n_cut} texts were cut to {work.limit} tokens", "warning", "cut"))
    if stop is not None:
        text = f"stopped after {done} of {len(work.examples)} texts"
        notes.append(Note(text, "warning", "interrupted"))
    bad = tuple(BadRow(source=e.source, reason=reason) for e, reason in work.skipped)
    return Outcome(result=replace(result, notes=tuple(notes)), bad=bad, stop=stop)


def _count(
    accumulator: Accumulator,
    traces: Iterable[tuple[Trace, Sequence[Example]]],
    context: Context,
    total: int | None = None,
) -> tuple[int, KeyboardInterrupt | None]:
    # A Ctrl-C in the middle of `add` would leave sums that belong to no set of texts.
    done, is_begun = 0, False
    try:
        for trace, examples in traces:
            with unbroken():
                accumulator.add(trace, examples)
                done, is_begun = done + len(examples), True
            if total is not None:
                context.progress(done, total, "texts")
    except KeyboardInterrupt as stop:
        if not is_begun:
            raise
        return done, stop
    return done, None


def count_arrays(recipe: Any, spec: RunSpec, context: Context) -> Outcome:
    """Count the rows of an activation file.

    Raises:
        WorkbenchError: the file cannot be read or used.
    """
    from workbench.runs.activation_file import open_activations

    path = spec.data.file
    if path is None:
        raise DataError("no activation file was given")
    source = open_activations(path)
    context = replace(context, spec=source.spec)
    accumulator = start(recipe, context)
    _, stop = _count(accumulator, source.batches(context.progress), context)
    result = accumulator.result(context)
    if stop is not None:
        note = Note("stopped before the end of the file", "warning", "interrupted")
        result = replace(result, notes=(*result.notes, note))
    return Outcome(result=result, stop=stop)


def _collect_vectors(recipe: ReadoutProbe, context: Context) -> Accumulator:
    from workbench.methods.evaluate import ReadoutAccumulator

    return ReadoutAccumulator(recipe, context)


# How a probe of each shape that counts traces begins to.
STARTS: tuple[tuple[type, Callable[[Any, Context], Accumulator]], ...] = (
    (Measure, lambda recipe, context: recipe.start(context)),
    (PerUnit, PerUnitAccumulator),
    (ReadoutProbe, _collect_vectors),
)


def start(recipe: object, context: Context) -> Accumulator:
    """Begin counting for a probe that counts traces.

    Raises:
        PluginError: it has none of those shapes.
    """
    for shape, begin in STARTS:
        if isinstance(recipe, shape):
            return begin(recipe, context)
    raise no_shape(recipe)


def no_shape(recipe: object) -> PluginError:
    """Return the error of a recipe that follows no protocol."""
    named = recipe if isinstance(recipe, type) else type(recipe)
    return PluginError(
        f"{named.__name__} has none of the methods measure, start, fit and study",
        hint="see docs/howto/new-probe",
    )
