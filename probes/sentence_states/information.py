"""How many nats of a sentence the state at its end saves, word by word, and what it writes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from probes.sentence_states.cells import Cells
from probes.sentence_states.decoder import SentenceDecoder
from probes.sentence_states.ends import End
from probes.sentence_states.lens import TrainedLens
from probes.sentence_states.together import AllLayers
from probes.sentence_states.vocabulary import every_span
from probes.sentence_states.written import RIGHT, agreement, word_f1
from probes.sentences.words import words_of
from workbench.model.sites import Kind, Site
from workbench.model.tokens import encoded
from workbench.model.trace import Trace
from workbench.result.samples import VALUE

WRITTEN, UNSURE = "written", "unsure: "
OTHER, WITHIN = "other", "within"
_SAVED = ("saved", "content_saved")
_AT_BEST = {"information_saved": "saved", "content_words_saved": "content_saved"}
_ALONE = ("bare_nats", "trusted", "wrong_trusted")
TOLD = (*_AT_BEST, "written_f1", *_ALONE)
Nats = Sequence[Float[Tensor, " token"]]


def arrays() -> Iterator[tuple[str, str, bool]]:
    """Return kind and name of every number, and whether it has layers."""
    for kind in (VALUE, OTHER, WITHIN):
        yield from ((kind, name, True) for name in _SAVED)
        yield from ((kind, name, False) for name in (*_AT_BEST, "written_f1"))
    yield VALUE, "word_saved", True
    yield VALUE, "next_saved", True
    yield WITHIN, "word_saved", True
    yield from ((VALUE, name, False) for name in _ALONE)


@dataclass(frozen=True, kw_only=True, eq=False)
class InformationReader:
    """What a decoder makes of the states at the ends of sentences.

    Saved are −log p(sentence | no state) + log p(sentence | state) nats, its end among them.
    `layers` are read; at the decoder's best one the next sentence is asked for as well, and the
    likeliest sentence written, unless `is_written` is off.
    """

    decoder: SentenceDecoder
    lens: TrainedLens
    layers: tuple[int, ...]
    is_written: bool = True

    def put(self, trace: Trace, ends: Sequence[End], together: AllLayers, cells: Cells) -> None:
        """Put every number and written sentence of a batch; `together` trusts what is written."""
        sentences = [" ".join(end.sentence.split()) for end in ends]
        rows = self.decoder.ids.of(sentences)
        bare = self.decoder.nats(self.decoder.bare(len(rows)), rows)
        words = [_token_words(self.decoder, sentence) for sentence in sentences]
        for layer in self.layers:
            x = trace.activations[Site(Kind.RESID_POST, layer)]
            states = x[[e.row for e in ends], [e.column for e in ends]]
            codes = self.decoder.code(layer, states)
            for kind, some in self._codes(layer, codes, ends).items():
                given = self.decoder.nats(some, rows)
                for i, end in enumerate(ends):
                    if kind != WITHIN or end.within != i:
                        self._saved(kind, layer, end, bare[i] - given[i], words[i], cells)
            if layer == self.decoder.best:
                self._at_best(ends, bare, cells)
                if self.is_written:
                    self._next(ends, codes, cells)
                    self._written(ends, (states, codes), together, cells)

    def _codes(
        self, layer: int, codes: Float[Tensor, "n rank"], ends: Sequence[End]
    ) -> dict[str, Float[Tensor, "n rank"]]:
        others = self.decoder.others[layer]
        return {
            VALUE: codes,
            OTHER: others[[end.other % len(others) for end in ends]],
            WITHIN: codes[[end.within for end in ends]],
        }

    def _saved(
        self,
        kind: str,
        layer: int,
        end: End,
        saved: Float[Tensor, " token"],
        words: Sequence[int],
        cells: Cells,
    ) -> None:
        at = (end.row, layer, end.column)
        cells.put(kind, "saved", at, float(saved.sum()))
        by_word = np.bincount(
            np.array(words) + 1, weights=saved[: len(words)].double(), minlength=1
        )[1:]
        spelled = words_of(end.sentence)
        content = [by_word[k] > 0 for k, word in enumerate(spelled[: len(by_word)])
                   if word in end.words]  # fmt: skip
        if content:
            cells.put(kind, "content_saved", at, float(np.mean(content)))
        if kind != OTHER and len(spelled) == len(end.spelled):
            for one, columns in zip(by_word, end.spelled, strict=False):
                for column in columns:
                    cells.put(kind, "word_saved", (end.row, layer, column), one)

    def _at_best(self, ends: Sequence[End], bare: Nats, cells: Cells) -> None:
        best = self.decoder.best
        for i, end in enumerate(ends):
            cells.put(VALUE, "bare_nats", (end.row, end.column), float(bare[i].sum()))
            for name, of in _AT_BEST.items():
                for kind in (VALUE, OTHER, WITHIN):
                    cells.copy(kind, of, (end.row, best, end.column), name)

    def _next(self, ends: Sequence[End], codes: Float[Tensor, "n rank"], cells: Cells) -> None:
        """Put what a state tells of the next sentence: beyond an earlier state, and a later one.

        Any state that is not its own costs nats, a sure one more than others, and more of a long
        sentence. So the next sentence's nats given an earlier state less those given this one
        are set against the same difference of a sentence further on, which neither state has
        read either: in random order the two are exchangeable, and the difference is 0.
        """
        rows = self.decoder.ids.of([end.sentence for end in ends])
        asked = [
            (i, (end.following, end.later), end.earlier)
            for i, end in enumerate(ends)
            if end.following is not None and end.earlier is not None and end.later is not None
        ]
        pairs = [(state, row) for i, two, k in asked for row in two for state in (k, i)]
        nats = self.decoder.nats(codes[[i for i, _ in pairs]], [rows[k] for _, k in pairs])
        told = np.array([float(one.sum()) for one in nats]).reshape(-1, 2, 2)
        gains = told[:, :, 0] - told[:, :, 1]
        for (i, _, _), (following, later) in zip(asked, gains, strict=True):
            at = (ends[i].row, self.decoder.best, ends[i].column)
            cells.put(VALUE, "next_saved", at, following - later)

    def _written(
        self,
        ends: Sequence[End],
        read: tuple[Float[Tensor, "n d_model"], Float[Tensor, "n rank"]],
        together: AllLayers,
        cells: Cells,
    ) -> None:
        states, codes = read
        best, others = self.decoder.best, self.decoder.other_written
        written = self.decoder.write(codes)
        agreed = agreement(self.lens, best, states, written)
        for i, end in enumerate(ends):
            at = (end.row, end.column)
            f1 = word_f1(written[i], end.sentence)
            is_sure = agreed[i] >= self.decoder.trusted_from
            is_trusted = is_sure and together.agrees(i, written[i])
            cells.say(WRITTEN, (end.row, best, end.column),
                      written[i] if is_trusted else f"{UNSURE}{written[i]}")  # fmt: skip
            cells.put(VALUE, "trusted", at, is_trusted)
            cells.put(VALUE, "wrong_trusted", at, is_trusted and f1 < RIGHT)
            cells.put(VALUE, "written_f1", at, f1)
            other = others[end.other % len(others)]
            cells.put(OTHER, "written_f1", at, word_f1(other, end.sentence))
            if end.within != i:
                cells.put(WITHIN, "written_f1", at, word_f1(written[end.within], end.sentence))


def _token_words(decoder: SentenceDecoder, sentence: str) -> list[int]:
    """Return the number of the word that each token is part of, −1 for marks."""
    found = encoded(decoder.ids.tokenizer, sentence, special_tokens=False, offsets=True)
    spans = every_span(sentence)
    return [
        next((k for k, (a, b) in enumerate(spans) if start < b and end > a), -1)
        for start, end in found["offset_mapping"]
    ]
