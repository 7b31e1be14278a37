"""The sentences of a bank that share most of what a state says."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from probes.sentence_states.vocabulary import OTHER, Vocabulary, content_words
from probes.sentences.words import words_of

_WORDS = (3, 24)
_MOST_WORDS = 32


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """Sentences, searched by the words that a state is likely to hold.

    A sentence scores Σ_w √(max(0, p_w − prior_w)) · idf_w · b_w, with b its words, each of
    weight idf, at length 1: a cosine up to the length of the state's part.
    """

    sentences: tuple[str, ...]
    vocabulary: Vocabulary
    prior: Float[Tensor, " word"]

    @cached_property
    def content(self) -> tuple[frozenset[str], ...]:
        """The content words of each sentence."""
        return tuple(frozenset(content_words(sentence)) for sentence in self.sentences)

    @cached_property
    def idf(self) -> Float[Tensor, " word"]:
        """The weight of each word, the logarithm of how rare it is; none for unknown words."""
        found = -self.prior.clamp(min=1e-6).log()
        found[OTHER] = 0
        return found

    @cached_property
    def _matrix(self) -> Tensor:
        marks = [self.vocabulary.numbers(sentence) for sentence in self.sentences]
        rows = torch.tensor([i for i, words in enumerate(marks) for _ in words], dtype=torch.long)
        columns = torch.tensor([word for words in marks for word in words], dtype=torch.long)
        weights = self.idf[columns]
        length = torch.zeros(len(marks)).index_add_(0, rows, weights.square()).sqrt()
        # Words that the readout cannot say lengthen a sentence too.
        unknown = torch.zeros(len(marks)).index_add_(0, rows, (columns == OTHER).float())
        length = (length.square() + unknown * float(self.idf.mean()) ** 2).sqrt()
        weights = weights / length.clamp(min=1e-6)[rows]
        shape = (len(self.sentences), len(self.vocabulary))
        places = torch.stack([rows, columns])
        return torch.sparse_coo_tensor(places, weights, shape, check_invariants=True).coalesce()

    def nearest(
        self, log_p: Float[Tensor, "n word"], *, holds_first: bool = False
    ) -> Int[Tensor, " n"]:
        """Return the number of the sentence that scores highest.

        With `holds_first`, of those only that hold the most probable word that any holds.
        """
        gain = (log_p.exp() - self.prior).clamp(min=0).sqrt() * self.idf
        best = gain.topk(min(_MOST_WORDS, gain.shape[1]), dim=1)
        sparse = torch.zeros_like(gain).scatter_(1, best.indices, best.values)
        scores: Tensor = torch.sparse.mm(self._matrix, sparse.T)
        if holds_first:
            first = log_p.masked_fill(~self._held, -torch.inf).argmax(dim=1)
            single = torch.zeros_like(gain).scatter_(1, first[:, None], 1.0)
            scores += (torch.sparse.mm(self._matrix, single.T) > 0) * (1 + scores.amax())
        return scores.argmax(dim=0)

    @cached_property
    def _held(self) -> Bool[Tensor, " word"]:
        """Mark the words that stand in some sentence."""
        found = torch.zeros(len(self.vocabulary), dtype=torch.bool)
        found[self._matrix.indices()[1]] = True
        found[OTHER] = False
        return found


def bank_sentences(sentences: Iterable[str], vocabulary: Vocabulary, most: int) -> tuple[str, ...]:
    """Return different sentences of three to 24 words that hold a word of the vocabulary."""
    found: dict[str, str] = {}
    for sentence in sentences:
        words = words_of(sentence)
        is_fit = _WORDS[0] <= len(words) <= _WORDS[1] and "\n" not in sentence
        if is_fit and any(vocabulary.numbers(sentence)):
            found.setdefault(" ".join(words), sentence)
        if len(found) == most:
            break
    return tuple(found.values())


def to_bytes(lines: Sequence[str]) -> UInt8[Tensor, " byte"]:
    """Return lines as the bytes of their text."""
    return torch.frombuffer(bytearray("\n".join(lines).encode()), dtype=torch.uint8)


def from_bytes(data: UInt8[Tensor, " byte"]) -> tuple[str, ...]:
    """Return the lines of such a tensor."""
    return tuple(bytes(data.tolist()).decode().split("\n"))
