"""What a reading of texts amounts to, in words: the verdict comes first."""

from probes.sentence_states.lens import TrainedLens
from workbench.result.result import Note
from workbench.result.samples import VALUE, Samples

CONTROLS = ("other", "within", "prior")
_ALL = ("together_p_at_1", "together_sure_p_at_1")
_HALF = 0.5
_FEW = 5
_FEW_KNOWN = 0.5
_FEW_COMPARED = 0.1


def compared(found: Samples, metric: str) -> tuple[str, ...]:
    """Return the controls that exist for a tenth of the texts or more; fewer decide nothing."""
    least = _FEW_COMPARED * found.n_of(metric, VALUE)
    there = (kind for kind in CONTROLS if found.has(metric, kind))
    return tuple(kind for kind in there if found.n_of(metric, kind) > least)


def unbeaten(found: Samples, metric: str) -> tuple[str, ...]:
    """Return the controls that a number does not lie above, interval above interval."""
    mine, told = found.mean(metric, VALUE, (), with_interval=True), []
    for kind in compared(found, metric):
        other = found.mean(metric, kind, (), with_interval=True)
        if not float(mine.low) > float(other.high):
            told.append(f"{found.controls_of[kind].name} {float(other.value):.2f}")
    return tuple(told)


def read_layers(found: Samples, metric: str = "p_at_1") -> list[int]:
    """Return the layers at which a number lies above all of its controls."""
    mine = found.mean(metric, VALUE, with_interval=True)
    is_above = mine.low == mine.low  # NaN where there is no interval
    for kind in compared(found, metric):
        is_above &= mine.low > found.mean(metric, kind, with_interval=True).high
    return [int(layer) for layer, ok in zip(found.layers, is_above, strict=True) if ok]


def verdict(found: Samples, lens: TrainedLens) -> str:
    """Say what is read of these texts, or that nothing is, with the controls beside it."""
    words = found.estimate("words_p_at_1", "other")
    if words.value is None:
        return (
            "Nothing is read: no sentence of these texts ends within the tokens that were run and "
            "holds a content word."
        )
    at = f"at layer {lens.best} {words}"
    if words.low is None or words.n < _FEW:
        return (
            f"Too few texts for a verdict: {at}; look at the single cells, and believe no more "
            "than what the lens is sure of."
        )
    equal, nats = unbeaten(found, "words_p_at_1"), nats_verdict(found)
    if equal:
        what = "No word" if are_nats_saved(found) else "Nothing"
        return f"{what} is read of these texts for sure: {at}{_beside(equal)}.{nats}"
    sure = found.estimate("sure_p_at_1", "other", {"layer": lens.best}, "P@1 where it is sure")
    at = f"{at}; {sure}" if sure.value is not None else at
    told = f"{at}; {found.estimate('nearest_shares_word', 'other')}; {_layers(found)}."
    every = (found.estimate(name, "other") for name in _ALL)
    told += f" All layers: {'; '.join(str(one) for one in every if one.value is not None)}.{nats}"
    if words.value < _HALF:
        return f"Little is read, and most first words are wrong: {told}"
    return f"Words of the sentence are read at its end: {told}"


def are_nats_saved(found: Samples) -> bool:
    """Say whether nats are saved, and more than by the states of other sentences."""
    if "information_saved" not in found.metrics:
        return False
    low = found.estimate("information_saved", "other").low
    return low is not None and low > 0 and not unbeaten(found, "information_saved")


def nats_verdict(found: Samples) -> str:
    """Say how many nats are saved and whether written sentences are above both controls."""
    if "information_saved" not in found.metrics:
        return ""
    saved = found.estimate("information_saved", "other")
    if saved.value is None or saved.low is None:
        return ""
    bare = found.estimate("bare_nats").value or 0.0
    told = f"{'Saved' if are_nats_saved(found) else 'No nats are saved for sure'}: {saved}"
    told = f"{told}, of {bare:.1f}{_beside(unbeaten(found, 'information_saved'))}"
    written = found.estimate("written_f1", "other")
    equal = unbeaten(found, "written_f1")
    if equal:
        return f" {told}. Written sentences say nothing sure: {written}{_beside(equal)}."
    return f" {told}. Written: {written}; {found.estimate('trusted')}."


def _beside(equal: tuple[str, ...]) -> str:
    return f"; not above {', '.join(equal)}" if equal else ""


def caveats(found: Samples, lens: TrainedLens) -> tuple[Note, ...]:
    """Say how the texts differ from those that the lens was judged on, and what it cannot say."""
    notes = []
    known = found.mean("known_words", VALUE, ()).value
    if float(known) < _FEW_KNOWN:
        notes.append(
            Note(
                f"the lens can say {float(known):.2g} of the content words of these texts: they "
                "are in another language, or of another kind than it was trained on",
                "warning",
                "unknown-words",
            )
        )
    n = found.n_of("words_p_at_1", VALUE)
    for kind in sorted(set(CONTROLS) - set(compared(found, "words_p_at_1"))) if n else ():
        notes.append(
            Note(
                f"{found.controls_of[kind].name}: {found.n_of('words_p_at_1', kind)} of {n} texts "
                "have one, too few to decide the verdict",
                "warning",
                "few-compared",
            )
        )
    judged = ", ".join(
        f"{origin} {one['p_at_1']:.2f}"
        for origin, one in lens.scores.items()
        if isinstance(one, dict) and "p_at_1" in one
    )
    if judged:
        notes.append(Note(f"P@1 on texts kept from the training: {judged}", code="judged"))
    return tuple(notes)


def _layers(found: Samples) -> str:
    layers = read_layers(found)
    if not layers:
        return "no single layer lies above its controls"
    spans, start = [], layers[0]
    for before, layer in zip(layers, [*layers[1:], None], strict=True):
        if layer != before + 1:
            spans.append(f"{start} to {before}" if before > start else str(start))
            start = layer if layer is not None else start
    return f"above every control at layers {', '.join(spans)}"
