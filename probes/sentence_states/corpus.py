"""Texts to learn from, to choose by and to judge on, apart by text and by rare words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from probes.sentences.words import words_of
from workbench.methods.contracts import Context
from workbench.sampling.rare_words import rare_words, words_apart
from workbench.sampling.sentence_spans import sentences_of
from workbench.sampling.split import in_part

CorpusPart = Literal["train", "valid", "test", "rare"]
_BY_HASH: tuple[Literal["train", "valid", "test"], ...] = ("train", "valid", "test")
PARTS: tuple[CorpusPart, ...] = ("train", "valid", "test", "rare")
_TOGETHER = 4


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Different texts by part, each with the name of where it comes from.

    A text belongs to one part by its own hash. `rare` holds texts with a rare name or number
    that stands in no text to learn from: those whose hash says so, out of all rare ones.
    """

    texts: Mapping[CorpusPart, tuple[str, ...]]
    origins: Mapping[CorpusPart, tuple[str, ...]]

    def part(self, part: CorpusPart) -> dict[str, tuple[str, ...]]:
        """Return the texts of one part by where they come from."""
        found: dict[str, list[str]] = {}
        for origin, text in zip(self.origins[part], self.texts[part], strict=True):
            found.setdefault(origin, []).append(text)
        return {origin: tuple(texts) for origin, texts in found.items()}

    def told(self, most: int) -> dict[str, Any]:
        """Return the texts to learn from, `most` of a kind, and what they are, for a manifest."""
        used = {origin: texts[:most] for origin, texts in self.part("train").items()}
        return {
            "texts": [text for texts in used.values() for text in texts],
            "data": ", ".join(f"{len(texts)} {origin}" for origin, texts in used.items()),
        }


def divide(sources: Mapping[str, Sequence[str]], context: Context) -> Corpus:
    """Drop texts that are the same but for case and marks, and divide the rest.

    Texts of a single sentence are put together in random groups of four, within their part, so
    that states have a context. Sources come one after the other, and none changes what becomes
    of those before it.
    """
    seen: set[str] = set()
    apart: set[str] = set()
    learned: set[str] = set()
    found: dict[CorpusPart, list[tuple[str, str]]] = {part: [] for part in PARTS}
    for origin, texts in sources.items():
        kept = [text for text in texts if _is_new(text, seen)]
        apart |= words_apart(kept) - learned
        by_part: dict[CorpusPart, list[str]] = {part: [] for part in PARTS}
        for text in kept:
            by_part[_part(text, apart)].append(text)
        learned.update(*map(rare_words, by_part["train"]))
        for part, some in by_part.items():
            draw = context.stream(f"groups of {origin}, {part}")
            found[part] += [(origin, text) for text in _grouped(some, draw)]
    _fill(found)
    return Corpus(
        texts={part: tuple(text for _, text in rows) for part, rows in found.items()},
        origins={part: tuple(origin for origin, _ in rows) for part, rows in found.items()},
    )


def _fill(found: dict[CorpusPart, list[tuple[str, str]]]) -> None:
    """Give a part that a few texts left empty some of those to learn from."""
    for part in ("valid", "test"):
        rest = found["train"]
        if not found[part] and len(rest) > 1:
            n = max(1, len(rest) // 20)
            found[part], found["train"] = rest[-n:], rest[:-n]


def _is_new(text: str, seen: set[str]) -> bool:
    key = " ".join(words_of(text))
    if not key or key in seen:
        return False
    seen.add(key)
    return True


def _part(text: str, apart: set[str]) -> CorpusPart:
    if not apart.isdisjoint(rare_words(text)):
        return "rare"
    key = " ".join(words_of(text))
    return next(part for part in _BY_HASH if in_part(key, part))


def _grouped(texts: Sequence[str], draw: np.random.Generator) -> list[str]:
    """Return texts of several sentences as they are, then single sentences in random groups."""
    single = [text for text in texts if len(sentences_of(text)) == 1]
    order = [single[i] for i in draw.permutation(len(single))]
    return [
        *(text for text in texts if len(sentences_of(text)) > 1),
        *(" ".join(order[i : i + _TOGETHER]) for i in range(0, len(order), _TOGETHER)),
    ]
