"""What the states of a chain's steps say of the step and the next: nats, nearest, words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from jaxtyping import Float
from torch import Tensor

from probes.sentences.grid import ACTUAL, SWAPPED, Cell, Way
from probes.sentences.nats import Teller
from probes.sentences.scores import Target, overlap
from probes.sentences.step_words import CURRENT, NEXT, STEPS, StepWords
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.row_samples import samples_of
from workbench.result.samples import Samples

WITHIN, FREQUENT = "within", "frequent"
_BY_WAY, _BY_LAYER = ("way", "layer"), ("layer",)
_NATS = {
    "saved": number("nats", "Saved of the step's sentence.", *_BY_WAY),
    "next_saved": number("nats", "Saved of the next step's sentence.", *_BY_WAY),
    "nearest_overlap": share("Words in common of the nearest known one.", *_BY_WAY, unit="F1"),
}
_SAID = {
    "words_p_at_1": share("First word stands in the step's sentence.", *_BY_LAYER),
    "next_words_p_at_1": share("First word stands in the next step's sentence.", *_BY_LAYER),
}
_NAMES = {
    "saved": "nats saved of the step",
    "next_saved": "nats saved of the next step",
    "nearest_overlap": "nearest known sentence, words in common",
    "words_p_at_1": "first word stands in the step",
    "next_words_p_at_1": "first word stands in the next step",
}
_OTHER = {
    SWAPPED: Control("another chain's state", "the same from the state of another chain"),
    WITHIN: Control("another step's state", "the same from another step of the chain", True),
}
_FREQUENT = {
    FREQUENT: Control("most frequent word", "the word that most steps hold, without any state"),
    **_OTHER,
}
AXES = {"way": Axis(help="How the states were read."), "layer": Axis(help="Layer, from 0.")}
NATS = Plot(
    title="Nats saved of the step and the next", metrics=("saved", "next_saved"), axes=_BY_WAY
)
WORDS = Plot(title="Words of the step and the next", metrics=tuple(_SAID), axes=_BY_LAYER)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """Steps that are shown: their states, their sentences, and another chain's step for each.

    `units` of the targets are the numbers of the problems; `layers` name the second axis.
    """

    states: Float[Tensor, "n layer d_model"]
    targets: Sequence[Target]
    others: Sequence[int]
    layers: Sequence[int]

    @property
    def within(self) -> list[int]:
        """The step before each in its chain, the chain's last one before its first."""
        units = [target.unit for target in self.targets]
        last = {unit: i for i, unit in enumerate(units)}
        return [i - 1 if i and units[i - 1] == own else last[own] for i, own in enumerate(units)]

    def pairs(self) -> Iterator[tuple[str, int, int]]:
        """Yield kind, step whose state is read, and step it is read for."""
        for i, (other, within) in enumerate(zip(self.others, self.within, strict=True)):
            yield ACTUAL, i, i
            if other != i:
                yield SWAPPED, other, i
            if within != i:
                yield WITHIN, within, i


def told_nats(
    shown: Shown, ways: Mapping[str, Way], teller: Teller, cells: Sequence[Cell]
) -> Samples | None:
    """Return nats saved of each step and the next, and how like it the nearest sentence is.

    None where there is one problem only, so that nothing tells what a sentence costs without it.
    """
    if set(teller.units) <= {target.unit for target in shown.targets[:1]}:
        return None
    nearest = {
        (c.way, c.layer, c.place): c.written.nearest[0][0]
        for c in cells
        if c.kind == ACTUAL and c.written.nearest
    }
    rows: list[dict[str, Any]] = []
    pairs = list(shown.pairs())
    own = [shown.targets[i] for _, _, i in pairs]
    for way, read in ways.items():
        for at, layer in enumerate(shown.layers):
            spoken = read(layer, shown.states[:, at])[[read_at for _, read_at, _ in pairs]]
            units = [target.unit for target in own]
            saved = teller.saved(spoken, [target.sentence for target in own], units)
            after = teller.saved(spoken, [target.after for target in own], units)
            rows += [
                {
                    "target": i,
                    "unit": target.unit,
                    "way": way,
                    "layer": layer,
                    "kind": kind,
                    "saved": saved[n],
                    "next_saved": after[n] if target.after else None,
                    "nearest_overlap": _alike(nearest.get((way, layer, place)), target),
                }
                for n, ((kind, place, i), target) in enumerate(zip(pairs, own, strict=True))
            ]
    return _samples(rows, _NATS, _OTHER)


def told_words(shown: Shown, words: StepWords) -> Samples:
    """Return whether the first word of each state stands in its step, or in the next one."""
    rows: list[dict[str, Any]] = []
    for at, layer in enumerate(shown.layers):
        first = {name: words.first(layer, shown.states[:, at], k) for name, k in STEPS.items()}
        for kind, place, i in shown.pairs():
            said = {name: found[place] for name, found in first.items()}
            rows.append(_word_row(shown.targets[i], i, layer, words, said) | {"kind": kind})
        always = {name: words.frequent[step] for name, step in STEPS.items()}
        rows += [
            _word_row(target, i, layer, words, always) | {"kind": FREQUENT}
            for i, target in enumerate(shown.targets)
        ]
    return _samples(rows, _SAID, _FREQUENT)


def reading_estimates(
    nats: Samples | None, best: Mapping[str, int], said: Samples | None, words: StepWords | None
) -> list[Estimate]:
    """Return every reading at the layer its way is judged at, and words at the best fitted one."""
    found = []
    for (way, layer), name in product(best.items(), _NATS):
        if nats is not None and name in nats.metrics:
            at, label = {"way": way, "layer": layer}, f"{_NAMES[name]}, {way}, layer {layer}"
            found.append(nats.estimate(name, SWAPPED, at, label))
    if said is not None and words is not None:
        layers = [int(layer) for layer in said.axes_of["layer"].labels]
        for name in said.metrics:
            chosen = words.best(layers, NEXT if name.startswith("next") else CURRENT)
            label = f"{_NAMES[name]}, layer {chosen}"
            found.append(said.estimate(name, FREQUENT, {"layer": chosen}, label))
    return found


def chain_verdict(nats: Samples | None, best: Mapping[str, int]) -> str:
    """Say whether nats are saved of the step and of the next, and more than by other states."""
    if nats is None or not best:
        return ""
    way, layer = next(iter(best.items()))
    at = {"way": way, "layer": layer}
    said = []
    for name, which in (("saved", "step"), ("next_saved", "next step")):
        if name in nats.metrics:
            beside = [nats.estimate(name, kind, at, _NAMES[name]) for kind in _OTHER]
            low = beside[0].low
            is_above = all(one.beside_control == "more than" for one in beside)
            is_read = low is not None and low > 0 and is_above
            said.append(f"the {which} {'is' if is_read else 'is not'} read ({beside[0]})")
    told = ", ".join(said)
    return f"{told[:1].upper()}{told[1:]}: states of layer {layer}, {way}. " if told else ""


def _word_row(
    target: Target, i: int, layer: int, words: StepWords, said: Mapping[str, str]
) -> dict[str, Any]:
    held = dict(zip(STEPS, (target.sentence, target.after), strict=True))
    there = {name: words.of(text) for name, text in held.items()}
    right = {name: said[name] in there[name] if there[name] else None for name in STEPS}
    return {"target": i, "unit": target.unit, "layer": layer, **right}


def _alike(sentence: str | None, target: Target) -> float | None:
    return None if sentence is None else overlap(sentence, target.sentence)


def _samples(
    rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any], controls: Mapping[str, Control]
) -> Samples:
    return samples_of(
        rows, metrics, by=("target",), group="unit", kind="kind", unit="steps",
        controls_of=controls, axes_of=AXES,
    )  # fmt: skip
