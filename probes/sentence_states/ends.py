"""The ends of sentences in a batch: where they are, and what stands there."""

from collections.abc import Mapping
from dataclasses import dataclass

from probes.sentence_states.readout import CURRENT


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of one sentence: its row and column in the batch, and its content words.

    `neighbours` are the content words of the sentences around it; `other` is the number of the
    stored sentence that stands in for it, `within` that of an end of the same text, itself where
    there is no other, `following` that of the next sentence, `earlier` that of one before it in
    the text and `later` that of one after the next. `tokens` are the columns of its
    content words, with each word; `spelled` those of all of its words, in order.
    """

    row: int
    column: int
    sentence: str
    following: int | None
    words: frozenset[str]
    neighbours: Mapping[str, frozenset[str]]
    other: int
    within: int
    tokens: tuple[tuple[int, str], ...]
    spelled: tuple[tuple[int, ...], ...] = ()
    earlier: int | None = None
    later: int | None = None

    def target(self, name: str) -> frozenset[str]:
        """Return the words of the sentence that is asked for."""
        return self.words if name == CURRENT else self.neighbours[name]
