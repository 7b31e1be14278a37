"""How alike the vectors of one token are in its different contexts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from probes.geometry.control import Null
from probes.geometry.spectrum import Undefined, Value

MAX_WORDS = 32
MIN_CONTEXTS = 8
MAX_CONTEXTS = 32


@dataclass(frozen=True, kw_only=True)
class Word:
    """One vocabulary entry: its contexts in the sample and how alike they are.

    `explained` is the largest eigenvalue's share of the variance of its contexts (at most 32);
    `explained_chance` the same for as many random tokens.
    """

    token_id: int
    n: int
    similarity: float
    explained: float | None
    explained_chance: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class WordValues:
    """The words of one layer, their averages, and the averages without each group of texts."""

    words: tuple[Word, ...]
    similarity: Value
    explained: Value
    explained_chance: Null | None
    similarity_left_out: Float[np.ndarray, " group"]
    explained_left_out: Float[np.ndarray, " group"]


def frequent(token_ids: Int[np.ndarray, " n"]) -> list[int]:
    """Return the most frequent entries with at least eight contexts, at most 32."""
    ids, counts = np.unique(token_ids, return_counts=True)
    order = np.lexsort((ids, -counts))[:MAX_WORDS]
    return [int(ids[i]) for i in order if counts[i] >= MIN_CONTEXTS]


def word_metrics(
    x: Float[np.ndarray, "n d_model"],
    token_ids: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    generator: np.random.Generator,
) -> WordValues:
    """Return self-similarity and maximum explained variance of frequent words.

    Self-similarity is (‖Σu‖² − n)/(n(n − 1)) over a word's n sampled contexts.

    Source: Ethayarajh 2019, sections 3.3 and 3.4; variance about the word's own mean.
    """
    chosen = frequent(token_ids)
    if not chosen:
        reason = Undefined(f"no token occurs {MIN_CONTEXTS} times in the sample")
        none = np.zeros(0)
        return WordValues(
            words=(),
            similarity=reason,
            explained=reason,
            explained_chance=None,
            similarity_left_out=none,
            explained_left_out=none,
        )
    present = np.unique(groups)
    words, similar, explained = [], [], []
    for token in chosen:
        rows = np.flatnonzero(token_ids == token)
        similar.append(_similarities(x[rows], groups[rows], present))
        few = rows[:MAX_CONTEXTS]
        explained.append(_explained(x[few], groups[few], present))
        chance = _chance(x, len(few), generator)
        words.append(
            Word(
                token_id=token,
                n=len(rows),
                similarity=float(similar[-1][0]),
                explained=_finite(explained[-1][0]),
                explained_chance=_finite(chance),
            )
        )
    return _averages(words, np.array(similar), np.array(explained))


def _averages(
    words: list[Word], similar: NDArray[np.float64], explained: NDArray[np.float64]
) -> WordValues:
    shares = [w.explained for w in words if w.explained is not None]
    chances = [w.explained_chance for w in words if w.explained_chance is not None]
    undefined = Undefined("the contexts of every frequent token have the same vector")
    return WordValues(
        words=tuple(words),
        similarity=float(similar[:, 0].mean()),
        explained=float(np.mean(shares)) if shares else undefined,
        explained_chance=Null.over(chances),
        similarity_left_out=_column_means(similar[:, 1:]),
        explained_left_out=_column_means(explained[:, 1:]),
    )


def _column_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average over words, leaving out the words that a column cannot have."""
    there = np.isfinite(values)
    sums = np.where(there, values, 0).sum(axis=0)
    means: NDArray[np.float64] = np.where(there.any(axis=0), sums, np.nan) / np.maximum(
        there.sum(axis=0), 1
    )
    return means


def _similarities(
    x: NDArray[np.float64], groups: NDArray[np.generic], present: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Return self-similarity with all contexts, then without each group."""
    length = np.linalg.norm(x, axis=1)
    x, groups, length = x[length > 0], groups[length > 0], length[length > 0]
    unit = x / length[:, None]
    member = np.stack([np.ones(len(x), dtype=bool), *(groups != g for g in present)])
    n = member.sum(axis=1).astype(np.float64)
    squared = member @ (unit**2).sum(axis=1)
    total = ((member @ unit) ** 2).sum(axis=1)
    values: NDArray[np.float64] = np.where(
        n > 1, (total - squared) / np.maximum(n * (n - 1), 1), np.nan
    )
    return values


def _explained(
    x: NDArray[np.float64], groups: NDArray[np.generic], present: NDArray[np.generic]
) -> NDArray[np.float64]:
    """Return the top eigenvalue's share with all contexts, then without each group."""
    gram = x @ x.T
    shares = [_top_share(gram, np.ones(len(x), dtype=bool))]
    shares += [_top_share(gram, groups != g) for g in present]
    return np.array(shares)


def _top_share(gram: NDArray[np.float64], member: NDArray[np.bool_]) -> float:
    kept = gram[np.ix_(member, member)]
    if len(kept) < 2:
        return float("nan")
    kept = kept - kept.mean(axis=0) - kept.mean(axis=1, keepdims=True) + kept.mean()
    trace = float(np.trace(kept))
    if trace <= np.finfo(np.float64).eps * float(np.abs(gram).max()) * len(kept):
        return float("nan")
    return float(np.linalg.eigvalsh(kept)[-1] / trace)


def _chance(x: NDArray[np.float64], n: int, generator: np.random.Generator) -> float:
    rows = generator.choice(len(x), size=n, replace=False)
    return _top_share(x[rows] @ x[rows].T, np.ones(n, dtype=bool))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
