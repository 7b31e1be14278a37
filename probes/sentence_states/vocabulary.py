"""The words a readout can say: content words that are frequent enough in its training."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool
from torch import Tensor

from probes.sentences.words import words_in, words_of

OTHER = 0
_ENGLISH = """
    a an the this that these those i you he she it we they me him her us them my your his its our
    their mine yours hers ours theirs myself yourself himself herself itself ourselves themselves
    who whom whose which what when where why how there here be am is are was were been being do does
    did done doing have has had having will would shall should can could may might must ought not no
    nor to of in on at for with from by about as into onto over under up down out off than then so
    and or but if because while until though although very too just also only even still again ever
    never yes oh well please let any some all both each every either neither such own same other
    another more most much many few less least one ones i'm you're he's she's it's we're they're
    i've you've we've they've i'd you'd he'd she'd we'd they'd i'll you'll he'll she'll it'll we'll
    they'll isn't aren't wasn't weren't don't doesn't didn't haven't hasn't hadn't won't wouldn't
    can't cannot couldn't shouldn't mustn't mightn't that's there's here's what's who's where's
    let's
"""
_FUNCTION_WORDS = frozenset(_ENGLISH.split())


def is_read(sentence: str) -> bool:
    """Whether it is a sentence of at least two words, not the number or bullet of a list."""
    return len(words_of(sentence)) > 1


def content_words(text: str) -> list[str]:
    """Return its different words but for the function words of English, in order."""
    return [word for word in dict.fromkeys(words_of(text)) if word not in _FUNCTION_WORDS]


def every_span(text: str) -> list[tuple[int, int]]:
    """Return the (start, end) characters of every word, function words among them."""
    return [m.span() for m in words_in(text)]


def word_spans(text: str) -> list[tuple[int, int, str]]:
    """Return the (start, end) characters of every content word with the word."""
    found = ((m.start(), m.end(), m[0].lower().replace("’", "'")) for m in words_in(text))
    return [one for one in found if one[2] not in _FUNCTION_WORDS]


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """Words by number; number 0 stands for every word that is not among them."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, sentences: Iterable[str], *, most: int, least: int) -> "Vocabulary":
        """Return the most frequent content words that stand in at least so many sentences."""
        counts = Counter(word for sentence in sentences for word in content_words(sentence))
        known = sorted((-n, word) for word, n in counts.items() if n >= least)[:most]
        return cls(words=("", *(word for _, word in known)))

    def __len__(self) -> int:
        """Return the number of words, the one for all others among them."""
        return len(self.words)

    @cached_property
    def number_of(self) -> dict[str, int]:
        """The number of each word."""
        return {word: i for i, word in enumerate(self.words) if i != OTHER}

    def numbers(self, sentence: str) -> list[int]:
        """Return the numbers of the content words of a sentence, one for each word."""
        known = self.number_of
        return [known.get(word, OTHER) for word in content_words(sentence)]

    def marks(self, sentences: Sequence[str]) -> Bool[Tensor, "n word"]:
        """Mark the words of each sentence; unknown ones mark `OTHER`."""
        found = torch.zeros(len(sentences), len(self), dtype=torch.bool)
        for i, sentence in enumerate(sentences):
            found[i, self.numbers(sentence)] = True
        return found
