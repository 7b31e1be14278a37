"""What all layers together say of a sentence: the mean of the probabilities that each gives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.sentence_states.cells import Cells
from probes.sentence_states.decoder_metrics import at_ends
from probes.sentence_states.ends import End
from probes.sentence_states.lens import TrainedLens
from probes.sentence_states.readout import CURRENT, best_words
from probes.sentence_states.vocabulary import OTHER
from probes.sentence_states.written import held
from workbench.result.metric import share
from workbench.result.samples import VALUE

_FIRST, _SURE, _NEAREST = "together_p_at_1", "together_sure_p_at_1", "together_shares_word"
AGREED = 0.4
"""Mean probability over layers from which on a layer's word is said, a written sentence trusted.

On the validation part of the lens that ships nine of ten words that are said then stand in their
sentence, of those of a single layer eight; on texts of other kinds a single layer is often sure of
a word that no other reads.
"""
_CONFIDENCE, _SAYS = "together_confidence", "together_says"
METRICS = {
    _FIRST: at_ends(share("First word of all layers together stands in the sentence.")),
    # No estimate of its own: there may be no text in which they are sure.
    _SURE: replace(
        at_ends(share("First word of all layers stands there, where they are sure enough.")),
        headline=None,
    ),
    _SAYS: at_ends(share("All layers together are sure enough to say a word.")),
    _CONFIDENCE: at_ends(share("Probability of that word, calibrated, the mean over layers.")),
    _NEAREST: at_ends(share("Sentence of the bank nearest to all layers shares a content word.")),
}


def arrays() -> Iterator[tuple[str, str, bool]]:
    """Return kind and name of every number, none of which has layers."""
    yield VALUE, _CONFIDENCE, False
    yield VALUE, _SAYS, False
    for kind in (VALUE, "other", "within", "prior"):
        yield kind, _FIRST, False
        yield kind, _SURE, False
    for kind in (VALUE, "other", "within"):
        yield kind, _NEAREST, False


@dataclass(kw_only=True, eq=False)
class AllLayers:
    """The mean over layers of the probability of every word, filled layer by layer.

    A word that many layers read is likelier to be there than one that one layer is sure of. Of
    another sentence's state the word is known that most of its layers read, and the sentence
    nearest to its best layer. The sentence nearest to all layers holds their first word.
    """

    lens: TrainedLens
    ends: Sequence[End]
    sure: float
    _p: Float[Tensor, "n word"] = field(init=False)
    _calibrated: Float[Tensor, "n word"] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing read."""
        self._p = torch.zeros(len(self.ends), len(self.lens.vocabulary))
        self._calibrated = torch.zeros_like(self._p)

    def add(self, layer: int, log_p: Float[Tensor, "n word"]) -> None:
        """Add what one layer says."""
        readout = self.lens.readout
        self._p += log_p.exp() / readout.n_layers
        self._calibrated += readout.probability(layer, log_p) / readout.n_layers

    def agreed(self, words: Int[Tensor, "n k"]) -> Float[Tensor, "n k"]:
        """Return how probable the layers together find some words of each end."""
        return self._calibrated.gather(1, words)

    def agrees(self, i: int, text: str) -> bool:
        """Whether the layers together find the content words of a sentence likely at an end."""
        return held(self.lens.vocabulary, self._calibrated[i], text) >= AGREED

    def put(self, cells: Cells) -> None:
        """Put what all layers say, when each was added."""
        log_p = self._p.clamp(min=torch.finfo(self._p.dtype).tiny).log()
        first = best_words(log_p, 1)
        confidence = self._calibrated.gather(1, first)[:, 0].tolist()
        nearest = self.lens.bank.nearest(log_p, holds_first=True)
        for i, end in enumerate(self.ends):
            at, is_sure = (end.row, end.column), confidence[i] >= self.sure
            cells.put(VALUE, _CONFIDENCE, at, confidence[i])
            cells.put(VALUE, _SAYS, at, is_sure)
            for kind, word, sentence in self._read(i, first[:, 0], nearest):
                if not end.words:
                    continue
                right = self.lens.vocabulary.words[word] in end.words
                cells.put(kind, _FIRST, at, right)
                if is_sure:
                    cells.put(kind, _SURE, at, right)
                if sentence is not None:
                    shared = not end.words.isdisjoint(self.lens.bank.content[sentence])
                    cells.put(kind, _NEAREST, at, shared)

    def _read(
        self, i: int, first: Int[Tensor, " n"], nearest: Int[Tensor, " n"]
    ) -> Iterator[tuple[str, int, int | None]]:
        """Return the first word and the nearest sentence of an end and of each control."""
        lens, end = self.lens, self.ends[i]
        yield VALUE, int(first[i]), int(nearest[i])
        most = lens.others[CURRENT][end.other].mode().values
        yield "other", int(most), int(lens.other_nearest[end.other, lens.best])
        if end.within != i:
            yield "within", int(first[end.within]), int(nearest[end.within])
        frequent = lens.prior.clone()
        frequent[OTHER] = 0
        yield "prior", int(frequent.argmax()), None
