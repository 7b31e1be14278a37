"""Read the sentence ends of a batch through a trained lens, beside the controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from probes.sentence_states.lens import TrainedLens
from probes.sentence_states.readout import CURRENT, TARGETS, best_words
from probes.sentence_states.vocabulary import content_words, is_read, word_spans
from probes.sentences.states import places_of
from workbench.methods.contracts import Context, Example
from workbench.methods.controls import draws
from workbench.methods.per_unit import Measured
from workbench.model.sites import Kind, Site
from workbench.model.trace import Trace
from workbench.result.samples import VALUE

KINDS = (VALUE, "other", "within", "prior")
_TOP = 5
_NAMES = {CURRENT: "p_at_1", "previous": "previous_p_at_1", "next": "next_p_at_1"}
_AT_BEST = {"words_p_at_1": "p_at_1", "nearest_shares_word": "shares_word"}


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of one sentence: its row and column in the batch, and its content words.

    `neighbours` are the content words of the sentences around it; `other` is the number of the
    stored sentence that stands in for it, `within` that of an end of the same text, itself where
    there is no other. `tokens` are the columns of its words, with each word.
    """

    row: int
    column: int
    words: frozenset[str]
    neighbours: Mapping[str, frozenset[str]]
    other: int
    within: int
    tokens: tuple[tuple[int, str], ...]

    def target(self, name: str) -> frozenset[str]:
        """Return the words of the sentence that is asked for."""
        return self.words if name == CURRENT else self.neighbours[name]


@dataclass(frozen=True, kw_only=True, eq=False)
class SentenceReader:
    """What the states of one batch say at the ends of its sentences."""

    lens: TrainedLens
    sure: float
    trace: Trace
    examples: Sequence[Example]
    context: Context

    @cached_property
    def ends(self) -> tuple[End, ...]:
        """Every whole sentence of two words or more of every text, in order."""
        found: list[End] = []
        if not self.trace.tokens.offsets:
            return ()
        for row, draw in enumerate(draws(self.trace.tokens, self.context, "sentence words")):
            found += self._ends(row, draw, len(found))
        return tuple(found)

    def _ends(self, row: int, draw: np.random.Generator, first: int) -> list[End]:
        text, tokens = self.examples[row].text, self.trace.tokens
        columns = tokens.mask[row].cpu().nonzero()[:, 0].tolist()
        places = [p for p in places_of(row, text, tokens, row) if is_read(p.sentence)]
        n = len(places)
        words = [frozenset(content_words(place.sentence)) for place in places]
        spots = _word_tokens(text, tokens.offsets[row])
        others = draw.integers(len(self.lens.other_nearest), size=n)
        steps = draw.integers(1, max(n, 2), size=n)
        starts = [-1, *(place.position for place in places)]
        by_number = {place.number: i for i, place in enumerate(places)}
        nothing: frozenset[str] = frozenset()

        def beside(place: int, step: int) -> frozenset[str]:
            i = by_number.get(places[place].number + step)
            return nothing if i is None else words[i]

        return [
            End(
                row=row,
                column=columns[place.position],
                words=words[i],
                neighbours={name: beside(i, step) for name, step in TARGETS.items() if step},
                other=int(others[i]),
                within=first + (i + int(steps[i])) % n,
                tokens=tuple(
                    (columns[t], word)
                    for t, word in spots
                    if starts[i] < t <= place.position and word in words[i]
                ),
            )
            for i, place in enumerate(places)
        ]

    def measured(self) -> Measured:
        """Return every number of the batch, with the words of its cells."""
        cells = _Cells(self.trace, self.lens.readout.n_layers)
        if self.ends:
            for layer in range(self.lens.readout.n_layers):
                self._layer(layer, cells)
            self._at_best(cells)
        return cells.measured()

    def _layer(self, layer: int, cells: "_Cells") -> None:
        site = Site(Kind.RESID_POST, layer)
        x = self.trace.activations[site]
        rows, columns = [e.row for e in self.ends], [e.column for e in self.ends]
        states = x[rows, columns].float().cpu()
        for target, name in _NAMES.items():
            log_p = self.lens.readout.log_p(layer, states, target)
            top = best_words(log_p, _TOP)
            self._words(layer, target, name, top, cells)
            if target == CURRENT:
                self._current(layer, log_p, top, cells)

    def _words(self, layer: int, target: str, name: str, top: Tensor, cells: "_Cells") -> None:
        """Mark whether the first word of each state, and of its controls, is in the sentence."""
        say, first = self.lens.vocabulary.words, top[:, 0].tolist()
        others = self.lens.others[target][:, layer].tolist()
        frequent = say[int(best_words(self.lens.prior.log()[None], 1)[0, 0])]
        for i, end in enumerate(self.ends):
            wanted = end.target(target)
            if not wanted:
                continue
            at = (end.row, layer, end.column)
            cells.put(VALUE, name, at, say[first[i]] in wanted)
            cells.put("other", name, at, say[others[end.other]] in wanted)
            cells.put("prior", name, at, frequent in wanted)
            if end.within != i:
                cells.put("within", name, at, say[first[end.within]] in wanted)

    def _current(
        self, layer: int, log_p: Float[Tensor, "n word"], top: Tensor, cells: "_Cells"
    ) -> None:
        lens, say = self.lens, self.lens.vocabulary.words
        sure = lens.readout.probability(layer, log_p.gather(1, top)).tolist()
        nearest = lens.bank.nearest(log_p).tolist()
        for i, end in enumerate(self.ends):
            at = (end.row, layer, end.column)
            said = [say[j] for j, p in zip(top[i].tolist(), sure[i], strict=True) if p >= self.sure]
            cells.say("said", at, ", ".join(said))
            cells.say("nearest", at, lens.bank.sentences[nearest[i]])
            cells.put(VALUE, "confidence", at, sure[i][0])
            cells.put(VALUE, "says", at, sure[i][0] >= self.sure)
            if sure[i][0] >= self.sure:
                for kind in KINDS:
                    cells.copy(kind, "p_at_1", at, "sure_p_at_1")
            self._tokens(layer, i, log_p, cells)
            if end.words:
                hits = sum(say[j] in end.words for j in top[i].tolist())
                cells.put(VALUE, "recall_at_5", at, hits / min(_TOP, len(end.words)))
                self._nearest(layer, i, nearest, cells)

    def _tokens(self, layer: int, i: int, log_p: Float[Tensor, "n word"], cells: "_Cells") -> None:
        """Say of each word of a sentence how much its end makes it likely."""
        end, prior = self.ends[i], self.lens.prior.log()
        for column, word in end.tokens:
            number = self.lens.vocabulary.number_of.get(word)
            if number is None:
                continue
            at = (end.row, layer, column)
            held = self.lens.readout.probability(layer, log_p[i, number])
            cells.put(VALUE, "held", at, float(held))
            cells.put(VALUE, "gain", at, float(log_p[i, number] - prior[number]))
            if end.within != i:
                cells.put("within", "gain", at, float(log_p[end.within, number] - prior[number]))

    def _nearest(self, layer: int, i: int, nearest: Sequence[int], cells: "_Cells") -> None:
        end, at = self.ends[i], (self.ends[i].row, layer, self.ends[i].column)
        other = int(self.lens.other_nearest[end.other, layer])
        cells.put(VALUE, "shares_word", at, self._shares(nearest[i], end))
        cells.put("other", "shares_word", at, self._shares(other, end))
        if end.within != i:
            cells.put("within", "shares_word", at, self._shares(nearest[end.within], end))

    def _shares(self, sentence: int, end: End) -> bool:
        return not end.words.isdisjoint(self.lens.bank.content[sentence])

    def _at_best(self, cells: "_Cells") -> None:
        """Repeat what the best layer gave, and say how much of the words the lens can say."""
        best = self.lens.best
        for end in self.ends:
            at = (end.row, best, end.column)
            for name, of in _AT_BEST.items():
                for kind in KINDS:
                    cells.copy(kind, of, at, name)
            if end.words:
                known = sum(word in self.lens.vocabulary.number_of for word in end.words)
                cells.put(VALUE, "known_words", (end.row, end.column), known / len(end.words))


class _Cells:
    """The arrays of a batch by kind and metric, NaN where nothing was put."""

    def __init__(self, trace: Trace, n_layers: int) -> None:
        n, width = trace.tokens.ids.shape
        self._shape = (n, n_layers, width)
        self._numbers: dict[tuple[str, str], NDArray[np.float64]] = {}
        self._texts: dict[str, NDArray[np.object_]] = {}
        # Every batch has the same arrays, whatever its texts hold.
        for name in ("held", "confidence", "recall_at_5", "says", "gain"):
            self._array(VALUE, name, 3)
        self._array("within", "gain", 3)
        self._array(VALUE, "known_words", 2)
        for kind in KINDS:
            for name in (*_NAMES.values(), *_AT_BEST.values(), "sure_p_at_1"):
                if (kind, name) != ("prior", "shares_word"):
                    self._array(kind, name, 3)
            for name in _AT_BEST:
                if (kind, name) != ("prior", "nearest_shares_word"):
                    self._array(kind, name, 2)
        for name in ("said", "nearest"):
            self._texts[name] = np.full(self._shape, "", dtype=object)

    def put(self, kind: str, name: str, at: tuple[int, ...], value: float | bool) -> None:
        """Put one number."""
        self._array(kind, name, len(at))[at] = value

    def copy(self, kind: str, name: str, at: tuple[int, int, int], to: str) -> None:
        """Put what stands at one layer into another metric, where there is such one."""
        if (kind, name) in self._numbers and (kind, to) in self._numbers:
            has_layers = self._numbers[kind, to].ndim == len(at)
            self.put(kind, to, at if has_layers else (at[0], at[2]), self.get(kind, name, at))

    def get(self, kind: str, name: str, at: tuple[int, ...]) -> float:
        """Return one number, NaN where there is none."""
        return float(self._array(kind, name, len(at))[at])

    def say(self, name: str, at: tuple[int, int, int], words: str) -> None:
        """Write the words of a cell."""
        self._texts[name][at] = words

    def measured(self) -> Measured:
        """Return the arrays as a probe gives them."""
        kinds: dict[str, dict[str, Any]] = {}
        for (kind, name), x in self._numbers.items():
            kinds.setdefault(kind, {})[name] = x
        values = kinds.pop(VALUE)
        return Measured(values=values, controls=kinds, texts=self._texts)

    def _array(self, kind: str, name: str, n_axes: int) -> NDArray[np.float64]:
        shape = self._shape if n_axes == 3 else (self._shape[0], self._shape[2])
        return self._numbers.setdefault((kind, name), np.full(shape, np.nan))


def _word_tokens(text: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, str]]:
    """Return the tokens of every content word."""
    found = []
    for start, end, word in word_spans(text):
        found += [(i, word) for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a]
    return found
