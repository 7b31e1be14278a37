"""Read the sentence ends of a batch through a trained lens, beside the controls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from torch import Tensor

from probes.sentence_states.cells import Cells
from probes.sentence_states.ends import End
from probes.sentence_states.information import WRITTEN, InformationReader, arrays
from probes.sentence_states.lens import TrainedLens
from probes.sentence_states.readout import CURRENT, TARGETS, best_words
from probes.sentence_states.together import AGREED, AllLayers
from probes.sentence_states.together import arrays as arrays_together
from probes.sentence_states.vocabulary import content_words, every_span, is_read, word_spans
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


@dataclass(frozen=True, kw_only=True, eq=False)
class SentenceReader:
    """What the states of one batch say at the ends of its sentences."""

    lens: TrainedLens
    sure: float
    trace: Trace
    examples: Sequence[Example]
    context: Context
    information: InformationReader | None = None

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
        offsets = tokens.offsets[row]
        spots = [(t, w) for a, b, w in word_spans(text) for t in _columns((a, b), offsets)]
        others = draw.integers(len(self.lens.other_nearest), size=n)
        steps = draw.integers(1, max(n, 2), size=n)
        before = [int(draw.integers(max(i, 1))) for i in range(n)]
        after = [int(draw.integers(min(i + 2, n - 1), n)) for i in range(n)]
        starts = [-1, *(place.position for place in places)]
        spelled = [_columns(span, offsets) for span in every_span(text)]
        said = {place.number: own for place, own in zip(places, words, strict=True)}
        return [
            End(
                row=row,
                column=columns[place.position],
                sentence=place.sentence,
                following=first + i + 1 if place.number + 1 in said else None,
                words=words[i],
                neighbours={
                    name: said.get(place.number + step, frozenset())
                    for name, step in TARGETS.items()
                    if step
                },
                other=int(others[i]),
                within=first + (i + int(steps[i])) % n,
                tokens=tuple(
                    (columns[t], word)
                    for t, word in spots
                    if starts[i] < t <= place.position and word in words[i]
                ),
                spelled=_between(spelled, starts[i], place.position, columns),
                earlier=first + before[i] if i else None,
                later=first + after[i] if i + 2 < n else None,
            )
            for i, place in enumerate(places)
        ]

    def measured(self) -> Measured:
        """Return every number of the batch, with the words of its cells."""
        n_layers = self.lens.readout.n_layers
        numbers, texts = [*_arrays(), *arrays_together()], ["said", "nearest"]
        if self.information is not None:
            numbers, texts = [*numbers, *arrays()], [*texts, WRITTEN]
        cells = Cells(self.trace, n_layers, numbers, texts)
        if self.ends:
            together = AllLayers(lens=self.lens, ends=self.ends, sure=self.sure)
            found = [self._layer(layer, cells, together) for layer in range(n_layers)]
            for layer, (top, sure) in enumerate(found):
                self._said(layer, top, sure, together.agreed(top), cells)
            together.put(cells)
            self._at_best(cells)
            if self.information is not None:
                self.information.put(self.trace, self.ends, together, cells)
        return cells.measured()

    def _layer(self, layer: int, cells: Cells, together: AllLayers) -> tuple[Tensor, Tensor]:
        """Read one layer; return its first words and how probable each is there."""
        site = Site(Kind.RESID_POST, layer)
        x = self.trace.activations[site]
        rows, columns = [e.row for e in self.ends], [e.column for e in self.ends]
        states = x[rows, columns].float().cpu()
        for target, name in _NAMES.items():
            log_p = self.lens.readout.log_p(layer, states, target)
            top = best_words(log_p, _TOP)
            self._words(layer, target, name, top, cells)
            if target == CURRENT:
                together.add(layer, log_p)
                self._current(layer, log_p, top, cells)
                found = top, self.lens.readout.probability(layer, log_p.gather(1, top))
        return found

    def _said(self, layer: int, top: Tensor, sure: Tensor, agreed: Tensor, cells: Cells) -> None:
        """Say the words that are sure at this layer, and that the layers together agree on."""
        say, is_said = self.lens.vocabulary.words, (sure >= self.sure) & (agreed >= AGREED)
        for i, (end, words) in enumerate(zip(self.ends, top.tolist(), strict=True)):
            at = (end.row, layer, end.column)
            said = [say[j] for j, ok in zip(words, is_said[i].tolist(), strict=True) if ok]
            cells.say("said", at, ", ".join(said))
            cells.put(VALUE, "says", at, bool(is_said[i, 0]))
            cells.put(VALUE, "confidence", at, min(float(sure[i, 0]), float(agreed[i, 0])))
            if is_said[i, 0]:
                for kind in KINDS:
                    cells.copy(kind, "p_at_1", at, "sure_p_at_1")

    def _words(self, layer: int, target: str, name: str, top: Tensor, cells: Cells) -> None:
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
        self, layer: int, log_p: Float[Tensor, "n word"], top: Tensor, cells: Cells
    ) -> None:
        lens, say = self.lens, self.lens.vocabulary.words
        nearest = lens.bank.nearest(log_p).tolist()
        for i, end in enumerate(self.ends):
            at = (end.row, layer, end.column)
            cells.say("nearest", at, lens.bank.sentences[nearest[i]])
            self._tokens(layer, i, log_p, cells)
            if end.words:
                hits = sum(say[j] in end.words for j in top[i].tolist())
                cells.put(VALUE, "recall_at_5", at, hits / min(_TOP, len(end.words)))
                self._nearest(layer, i, nearest, cells)

    def _tokens(self, layer: int, i: int, log_p: Float[Tensor, "n word"], cells: Cells) -> None:
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

    def _nearest(self, layer: int, i: int, nearest: Sequence[int], cells: Cells) -> None:
        end, at = self.ends[i], (self.ends[i].row, layer, self.ends[i].column)
        other = int(self.lens.other_nearest[end.other, layer])
        cells.put(VALUE, "shares_word", at, self._shares(nearest[i], end))
        cells.put("other", "shares_word", at, self._shares(other, end))
        if end.within != i:
            cells.put("within", "shares_word", at, self._shares(nearest[end.within], end))

    def _shares(self, sentence: int, end: End) -> bool:
        return not end.words.isdisjoint(self.lens.bank.content[sentence])

    def _at_best(self, cells: Cells) -> None:
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


def _arrays() -> Iterator[tuple[str, str, bool]]:
    """Return kind and name of every number of the words, and whether it has layers."""
    for name in ("held", "confidence", "recall_at_5", "says", "gain"):
        yield VALUE, name, True
    yield "within", "gain", True
    yield VALUE, "known_words", False
    for kind in KINDS:
        for name in (*_NAMES.values(), *_AT_BEST.values(), "sure_p_at_1"):
            if (kind, name) != ("prior", "shares_word"):
                yield kind, name, True
        for name in _AT_BEST:
            if (kind, name) != ("prior", "nearest_shares_word"):
                yield kind, name, False


def _between(
    words: Sequence[tuple[int, ...]], after: int, last: int, columns: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """Return the columns of the words that end after one token and not after another."""
    mine = (word for word in words if word and after < word[-1] <= last)
    return tuple(tuple(columns[t] for t in word) for word in mine)


def _columns(span: tuple[int, int], offsets: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Return the tokens that hold some of the characters of a span."""
    start, end = span
    return tuple(i for i, (a, b) in enumerate(offsets) if a < end and b > start and b > a)
