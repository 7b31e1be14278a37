"""Repeated token sequences: how long the end of a text has occurred before, and how often."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

LONGEST = 5
NGRAMS = (2, 3, 4)


class SuffixIndex:
    """The token sequences of length 1 to `longest` that a growing text holds.

    Every sequence is one entry of a hash set, so a question and an addition cost `longest`
    look-ups whatever the length of the text.
    """

    def __init__(self, tokens: Sequence[int] = (), *, longest: int = LONGEST) -> None:
        """Index a text."""
        self.longest = longest
        self._seen: set[tuple[int, ...]] = set()
        self._tail: tuple[int, ...] = ()
        self._length = 0
        self.extend(tokens)

    def __len__(self) -> int:
        """Return the number of tokens indexed."""
        return self._length

    def extend(self, tokens: Sequence[int]) -> None:
        """Add tokens at the end."""
        for token in tokens:
            ending = (*self._tail, token)
            self._seen.update(ending[start:] for start in range(len(ending)))
            self._tail = ending[max(0, len(ending) - self.longest + 1) :]
            self._length += 1

    def repeated(self, token: int) -> int:
        """Return the length of the longest sequence ending in `token`, if added, that is known.

        A sequence can only have occurred if its shorter endings have, so the first miss ends
        the search.
        """
        ending = (*self._tail, token)
        for length in range(1, len(ending) + 1):
            if ending[-length:] not in self._seen:
                return length - 1
        return len(ending)


def repeated_lengths(
    tokens: Sequence[int], *, after: Sequence[int] = (), longest: int = LONGEST
) -> list[int]:
    """Return for each token how long a sequence ending there had occurred before."""
    index = SuffixIndex(after, longest=longest)
    lengths = []
    for token in tokens:
        lengths.append(index.repeated(token))
        index.extend((token,))
    return lengths


def ngram_counts(
    tokens: Sequence[int], lengths: Sequence[int] = NGRAMS
) -> tuple[list[int], list[int]]:
    """Return for each length the numbers of different and of all n-grams."""
    grams = [[tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)] for n in lengths]
    return [len(set(found)) for found in grams], [len(found) for found in grams]


def diversity(
    different: Float[np.ndarray, "*batch n"], every: Float[np.ndarray, "*batch n"]
) -> Float[np.ndarray, "*batch"]:
    """Return Π (1 − rep-n) with rep-n = 1 − different/all n-grams, NaN where there are none.

    Source: Su et al. 2022, arXiv:2202.06417, section 5 (n = 2, 3, 4), as a fraction. Their code
    counts words split at spaces and leaves the last n-gram out; here tokens and all n-grams.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((different / every).prod(axis=-1))
