"""What to do when a model gives NaN or infinity: rows left out and named, or the cause."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from workbench.errors import DataError, FitError, NotFinite, TooLittleData
from workbench.methods.contracts import Example
from workbench.model.capabilities import trying
from workbench.model.finite import LOGITS, Broken, FiniteWatch, finite_rows, unwatched, watching
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.model.tokens import Tokens
from workbench.result.result import Note
from workbench.runs.batching import plan
from workbench.runs.counting import Outcome
from workbench.runs.reading import BadRow
from workbench.runs.spec import RunSpec

CODE = "not-finite"

_NAMED = 3
_TEXT = "The quick brown fox jumps over the lazy dog."

Work = Callable[[Sequence[Example]], Outcome]


class _Overflow(Exception):
    """Something a model gave was not finite."""

    def __init__(self, broken: Broken) -> None:
        super().__init__(broken.what)
        self.broken = broken


def finite_only(work: Work, examples: Sequence[Example], model: Model, spec: RunSpec) -> Outcome:
    """Do the work, and again without the rows on which the model is not finite, if there are any.

    Raises:
        NotFinite: every row overflows, or the work needs passes that do.
        WorkbenchError: what the work itself raises while all is finite.
    """
    try:
        return _watched(work, examples)
    except FitError as error:
        # A recipe makes its own passes; a loss that is NaN may come from the model it began with.
        begins = _begins(model)
        if not begins:
            raise
        cause = Broken(what=begins, model=model.spec.name, dtype=model.spec.dtype)
        raise cause.error() from error
    except _Overflow as overflow:
        broken = overflow.broken
    with unwatched():
        found = overflowing(model, examples, spec)
        good = [example for i, example in enumerate(examples) if i not in found]
        if not found or not good:
            raise _cause(broken, found, model, len(examples))
    words = _left_out(found, examples, model)
    try:
        done = _watched(work, good)
    except _Overflow as overflow:
        raise overflow.broken.error() from None
    except DataError as error:
        raise NotFinite(f"{words}. Of the rest: {error.message}", hint=error.hint) from error
    reason = f"not finite in {model.spec.dtype}"
    rows = (BadRow(source=examples[i].source, reason=f"{found[i]} {reason}") for i in sorted(found))
    note = Note(words, "warning", CODE)
    result = replace(done.result, notes=(note, *done.result.notes))
    return replace(done, result=result, bad=(*done.bad, *rows))


def _watched(work: Work, examples: Sequence[Example]) -> Outcome:
    """Do the work; whatever it makes of numbers that are not finite, those are the cause."""
    with watching() as watch:
        try:
            done = work(examples)
        except Exception:
            _check(watch)
            raise
        _check(watch)
    return done


def _check(watch: FiniteWatch) -> None:
    try:
        watch.check()
    except NotFinite:
        if watch.broken is not None:
            raise _Overflow(watch.broken) from None


def overflowing(model: Model, examples: Sequence[Example], spec: RunSpec) -> dict[int, str]:
    """Return the texts on which the model is not finite, each with where that begins."""
    numbers = {id(example): i for i, example in enumerate(examples)}
    try:
        work = plan(model, examples, max_tokens=spec.max_tokens, batch_tokens=spec.batch_tokens)
    except TooLittleData:
        return {}
    found: dict[int, str] = {}
    for batch in work.batches():
        for row, where in _origins(model, batch.tokens.to(model.device)).items():
            found[numbers[id(batch.examples[row])]] = where
    return found


def _origins(model: Model, tokens: Tokens) -> dict[int, str]:
    """Return the rows of a batch that are not finite, each with the first place that is not."""
    sites = every_layer(Kind.RESID_POST, model.spec)
    if not model.backend.supports(Kind.RESID_POST, edit=False):
        sites = ()
    with model.lock, trying(model):
        # No check of a site holds here, since each compares numbers that are finite.
        trace = model.run(tokens, read=sites, logits="all")
    found: dict[int, str] = {}
    seen: list[tuple[str, Tensor]] = [
        (str(site), finite_rows(trace.activations[site], site, tokens.mask)) for site in sites
    ]
    if trace.logits is not None:
        seen.append((LOGITS, finite_rows(trace.logits, None, tokens.mask)))
    for name, rows in seen:
        for row in torch.nonzero(~rows).flatten().tolist():
            found.setdefault(row, name)
    return found


def _cause(broken: Broken, found: Mapping[int, str], model: Model, n: int) -> NotFinite:
    weight = _broken_weight(model)
    if weight:
        return NotFinite(
            f"{weight} of {model.spec.name} in {model.spec.dtype} holds NaN or infinity",
            hint="load the model in float32 (--dtype float32), or fetch its files again",
        )
    if found:
        first = next(iter(found.values()))
        return broken.error(f" on {len(found)} of {n} texts, first at {first}")
    begins = _begins(model)
    return broken.error(f", first at {begins}" if begins else "")


def _begins(model: Model) -> str:
    """Return where a plain sentence stops being finite, nothing if it does not."""
    with unwatched():
        return _origins(model, model.tokenize(_TEXT).to(model.device)).get(0, "")


def _broken_weight(model: Model) -> str:
    for name, parameter in model.backend.module.named_parameters():
        if parameter.device.type != "meta" and not bool(torch.isfinite(parameter).all()):
            return name
    return ""


def _left_out(found: Mapping[int, str], examples: Sequence[Example], model: Model) -> str:
    sites = ", ".join(dict.fromkeys(found[i] for i in sorted(found)))
    first = ", ".join(examples[i].source for i in sorted(found)[:_NAMED])
    more = ", …" if len(found) > _NAMED else ""
    return (
        f"{len(found)} of {len(examples)} texts were left out: {model.spec.name} in "
        f"{model.spec.dtype} gives NaN or infinity on them, first at {sites} ({first}{more}); "
        "load it in float32 to count them"
    )
