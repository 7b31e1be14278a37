"""Sentences written from states, and whether the readout of words agrees with them."""

from collections import Counter
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from probes.sentence_states.lens import TrainedLens
from probes.sentence_states.vocabulary import Vocabulary, content_words
from probes.sentences.words import words_of

RIGHT = 0.5
_MOST_WRONG = 0.02
NEVER = 2.0


def word_f1(one: str, other: str) -> float:
    """Return the F1 of the words that two sentences have in common."""
    a, b = Counter(words_of(one)), Counter(words_of(other))
    return 2 * sum((a & b).values()) / max(1, sum(a.values()) + sum(b.values()))


def agreement(
    lens: TrainedLens, layer: int, states: Float[Tensor, "n d_model"], written: Sequence[str]
) -> list[float]:
    """Return the mean probability that the readout gives the content words of written sentences.

    The readout knows the state alone, not what was written. A word that it cannot say counts as
    not there, and so does a sentence without a content word.
    """
    log_p = lens.readout.log_p(layer, states).cpu()
    p = lens.readout.probability(layer, log_p)
    return [held(lens.vocabulary, row, text) for row, text in zip(p, written, strict=True)]


def held(vocabulary: Vocabulary, p: Float[Tensor, " word"], text: str) -> float:
    """Return the mean probability of the content words of a sentence, 0 for unknown ones."""
    words = content_words(text)
    known = [vocabulary.number_of[w] for w in words if w in vocabulary.number_of]
    return float(p[known].sum()) / len(words) if known else 0.0


def trusted_from(agreements: Sequence[float], f1: Sequence[float]) -> float:
    """Return the agreement from which on at most 2 % of all sentences are trusted and wrong.

    Wrong is an F1 below one half. Where no agreement is high enough, none is trusted.
    """
    pairs, found = list(zip(agreements, f1, strict=True)), NEVER
    for least in sorted(set(agreements), reverse=True):
        if sum(agreed >= least and f1 < RIGHT for agreed, f1 in pairs) > _MOST_WRONG * len(pairs):
            break
        found = least
    return found
