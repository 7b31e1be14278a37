"""How a codec bears noise on its vectors, and sentences with words that no training saw."""

from collections.abc import Mapping, Sequence

import torch

from reasoning.codec.evaluation import Codec, as_long, decode_alike, overlap
from workbench.methods.contracts import Context
from workbench.result.intervals import mean_interval, proportion_interval
from workbench.result.tables import Column, Table
from workbench.sampling.rare_words import rare_words, words_apart

UNSEEN = "unseen names and numbers, "
_LEVELS = (0.0, 0.25, 0.5, 1.0)


def set_apart(
    families: Mapping[str, Sequence[str]],
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return sentences to train on by family, and those with a rare word that none of them has."""
    apart = {word for some in families.values() for word in words_apart(some)}
    rest: dict[str, list[str]] = {}
    unseen: dict[str, list[str]] = {}
    for name, some in families.items():
        for sentence in some:
            is_apart = not apart.isdisjoint(rare_words(sentence))
            kind, found = (f"{UNSEEN}{name}", unseen) if is_apart else (name, rest)
            found.setdefault(kind, []).append(sentence)
    return _whole(rest), _whole(unseen)


def _whole(found: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sentences) for name, sentences in found.items()}


def noise_table(codec: Codec, sentences: Sequence[str], context: Context) -> Table:
    """Return how sentences come back from vectors with noise of several lengths."""
    vectors, rows = codec.encode(sentences), codec.ids.of(sentences)
    draw = context.stream("noise on vectors").standard_normal(tuple(vectors.shape))
    noise = as_long(torch.from_numpy(draw), vectors)
    found = []
    for level in _LEVELS:
        written = decode_alike(codec, vectors + level * noise, [len(row) for row in rows])
        f1 = [overlap(one.ids, row) for one, row in zip(written, rows, strict=True)]
        hits = sum(list(one.ids) == row for one, row in zip(written, rows, strict=True))
        exact, words = proportion_interval(hits, len(rows)), mean_interval(f1, bounds=(0.0, 1.0))
        found.append({
            "noise": level, "n": len(rows), "exact_match": hits / len(rows),
            "exact_match_low": exact.low, "exact_match_high": exact.high,
            "overlap": sum(f1) / len(f1), "overlap_low": words.low, "overlap_high": words.high,
        })  # fmt: skip
    return Table.from_rows(found, {
        "noise": Column("vectors", "Length of the noise, relative to the vector."),
        "n": Column("sentences", "Held-out sentences judged."),
        "exact_match": Column("proportion", "Sentences that come back token for token.",
                              "exact_match_low", "exact_match_high"),
        "overlap": Column("F1", "Tokens in common with the sentence.",
                          "overlap_low", "overlap_high"),
    })  # fmt: skip
