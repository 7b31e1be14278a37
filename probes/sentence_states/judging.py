"""How well a finished lens reads the texts that were kept from its training, kind by kind."""

from collections.abc import Mapping, Sequence
from typing import Any

from probes.sentence_states.corpus import Corpus
from probes.sentence_states.lens import TrainedLens
from probes.sentence_words import LoadedWords
from workbench.methods.contracts import Context, Example
from workbench.methods.per_unit_state import PerUnitAccumulator
from workbench.model.model import Model
from workbench.result.result import Result

RARE = "rare names and numbers"
_AT_ONCE = 32
_TOLD = ("words_p_at_1", "nearest_shares_word", "known_words")


def judged_report(
    model: Model,
    lens: TrainedLens,
    corpus: Corpus,
    most: int,
    longest: int,
    context: Context,
) -> dict[str, Result]:
    """Read up to `most` texts of each kind; kinds without a sentence are left out."""
    rare = [text for texts in corpus.part("rare").values() for text in texts]
    found = {}
    for origin, texts in {**corpus.part("test"), RARE: rare}.items():
        result = _read(model, lens, texts[:most], longest, context)
        if result is not None and result.estimates[0].n:
            found[origin] = result
    return found


def judged_scores(found: Mapping[str, Result]) -> dict[str, dict[str, Any]]:
    """Return the figures of each kind for the manifest."""
    return {origin: _scores(result) for origin, result in found.items()}


def _scores(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {"p_at_1": result.estimate("words_p_at_1").value}
    for name in _TOLD:
        one = result.estimate(name)
        told[name] = {
            "value": one.value,
            "low": one.low,
            "high": one.high,
            "n": one.n,
            one.control_name or "control": one.control,
        }
    return told


def _read(
    model: Model, lens: TrainedLens, texts: Sequence[str], longest: int, context: Context
) -> Result | None:
    if not texts:
        return None
    probe = LoadedWords(lens=lens)
    accumulator = PerUnitAccumulator(probe, context)
    for start in range(0, len(texts), _AT_ONCE):
        context.progress(start, len(texts), "texts kept from the training")
        some = texts[start : start + _AT_ONCE]
        trace = model.run(model.tokenize(some, limit=longest), read=probe.sites(model.spec))
        accumulator.add(
            trace, [Example(text=text, number=start + i) for i, text in enumerate(some)]
        )
    context.progress(len(texts), len(texts), "texts kept from the training")
    return accumulator.result(context)
