"""Which words the states of a chain hold: a linear readout fitted on chains that are not shown."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from probes.sentences.chains import Thought
from probes.sentences.tuned import LowRankMap, fit_low_rank
from probes.sentences.words import words_of

CURRENT, NEXT = 0, 1
STEPS = {"words_p_at_1": CURRENT, "next_words_p_at_1": NEXT}
_LEAST = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class StepWords:
    """A map from the states of each layer to the words of a step's sentence, and of the next one.

    Words of fewer than two of the fitted steps, and of more than half of them, which say nothing
    of a step, are left out.
    """

    words: tuple[str, ...]
    maps: Mapping[tuple[int, int], LowRankMap]
    frequent: Mapping[int, str]

    def of(self, sentence: str) -> frozenset[str]:
        """Return the words of a sentence that can be said."""
        return frozenset(words_of(sentence)) & frozenset(self.words)

    def first(self, layer: int, states: Float[Tensor, "n d_model"], step: int) -> list[str]:
        """Return the word that each state most says of its step or of the next."""
        found = self.maps[layer, step](states).argmax(dim=1).tolist()
        return [self.words[i] for i in found]

    def best(self, layers: Sequence[int], step: int) -> int:
        """Return the layer with the least error on fitted steps that were left out in turn."""
        return min(layers, key=lambda layer: self.maps[layer, step].error)


def fit_words(
    states: Sequence[Float[Tensor, "step layer d_model"]],
    thoughts: Sequence[Thought],
    layers: Sequence[int],
    rank: int,
) -> StepWords | None:
    """Fit the maps on the steps of some chains; None where no word stands in enough of them."""
    sentences = [text for thought in thoughts for text in thought.sentences]
    counts = Counter(word for text in sentences for word in set(words_of(text)))
    words = tuple(sorted(w for w, n in counts.items() if _LEAST <= n <= len(sentences) / 2))
    if len(words) < _LEAST:
        return None
    maps, frequent = {}, {}
    for step in (CURRENT, NEXT):
        marks = _marks([text for t in thoughts for text in t.sentences[step:]], words)
        if len(marks) < _LEAST:
            return None
        frequent[step] = words[int(marks.sum(dim=0).argmax())]
        kept = torch.cat([x[: len(x) - step] for x in states])
        for layer in layers:
            maps[layer, step] = fit_low_rank(kept[:, layer], marks, rank)
    return StepWords(words=words, maps=maps, frequent=frequent)


def _marks(sentences: Sequence[str], words: Sequence[str]) -> Float[Tensor, "n word"]:
    held = [set(words_of(text)) for text in sentences]
    return torch.tensor([[float(word in mine) for word in words] for mine in held])
