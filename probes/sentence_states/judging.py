"""How well a finished lens reads the texts that were kept from its training, kind by kind."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from probes.sentence_states.corpus import Corpus
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit import PerUnit
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.model import Model
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.training.report import loss_views

RARE = "rare names and numbers"
_AT_ONCE = 32
TOLD = ("words_p_at_1", "nearest_shares_word", "known_words")


def judged_report(
    model: Model,
    probe: PerUnit,
    corpus: Corpus,
    most: int,
    longest: int,
    context: Context,
) -> dict[str, Result]:
    """Read up to `most` texts of each kind; kinds without a sentence are left out."""
    rare = [text for texts in corpus.part("rare").values() for text in texts]
    found = {}
    for origin, texts in {**corpus.part("test"), RARE: rare}.items():
        order = context.stream(f"judged {origin}").permutation(len(texts))[:most]
        some = [Example(text=texts[i], number=n) for n, i in enumerate(order)]
        result = read_texts(model, probe, some, longest, context)
        if result is not None and result.estimates[0].n:
            found[origin] = result
    return found


def joined_report(
    found: Mapping[str, Result],
    tables: Mapping[str, Table],
    note: Note,
    told: Sequence[str] = TOLD,
) -> Result:
    """Return the report on the kind with most texts, with the figures of every kind."""
    first = max(
        (o for o in found if o != RARE), key=lambda o: found[o].estimates[0].n, default=RARE
    )
    rows = [{"kind": origin, **_cells(result, told)} for origin, result in found.items()]
    about = {"kind": Column(help="Where the texts come from.")}
    for name in told:
        one = found[first].estimate(name)
        about |= {
            name: Column(one.unit, f"As the estimate {name}.", f"{name}_low", f"{name}_high"),
            f"{name}_low": Column(one.unit, "Lower end of the 95 % interval."),
            f"{name}_high": Column(one.unit, "Upper end of the 95 % interval."),
            f"{name}_control": Column(one.unit, f"Control: {one.control_name}.", control_of=name),
            f"{name}_n": Column(one.n_unit, "Texts averaged over."),
        }
    result = found[first]
    return replace(
        result,
        summary=f"On {first} kept from the training: {result.summary}",
        tables={**result.tables, "kinds": Table.from_rows(rows, about), **tables},
        notes=(*result.notes, note),
        views=(*result.views, *loss_views()),
    )


def _cells(result: Result, told: Sequence[str]) -> dict[str, float | int | None]:
    cells: dict[str, float | int | None] = {}
    for name in told:
        one = result.estimate(name)
        cells |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        cells |= {f"{name}_control": one.control, f"{name}_n": one.n}
    return cells


def judged_scores(
    found: Mapping[str, Result], told: Sequence[str] = TOLD
) -> dict[str, dict[str, Any]]:
    """Return the figures of each kind for the manifest."""
    return {origin: _scores(result, told) for origin, result in found.items()}


def _scores(result: Result, told: Sequence[str]) -> dict[str, Any]:
    scores: dict[str, Any] = {"p_at_1": result.estimate("words_p_at_1").value}
    for name in told:
        one = result.estimate(name)
        scores[name] = {
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "n": one.n,
            one.control_name or "control": one.control,
        }
    return scores


def read_texts(
    model: Model, probe: PerUnit, examples: Sequence[Example], longest: int, context: Context
) -> Result | None:
    """Run texts and read them, those of like length together; None where there are none."""
    if not examples:
        return None
    accumulator = PerUnitAccumulator(probe, context)
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].text))
    for start in range(0, len(order), _AT_ONCE):
        context.progress(start, len(order), "texts read")
        some = [examples[i] for i in order[start : start + _AT_ONCE]]
        tokens = model.tokenize([example.text for example in some], limit=longest)
        accumulator.add(model.run(tokens, read=probe.sites(model.spec)), some)
    context.progress(len(order), len(order), "texts read")
    return accumulator.result(context)
