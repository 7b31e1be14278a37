"""Which component of one domain is which of another, and in what order: exhaustive search."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from jaxtyping import Float, Int

from causal.hca.triangular import off, row_inexactness, shared_row
from workbench.errors import BadOption

Orders = tuple[tuple[int, ...], ...]

BEAM = 64
CHUNK = 60_000


@dataclass(frozen=True, kw_only=True)
class Search:
    """The best alignment under every causal order.

    An order is a permutation of the components of the *reference* domain, source first; the
    components of the other domains are free. `scores[o]` is the smallest possible largest
    inexactness under `orders[o]`, and `alignments[o]` the alignment that reaches it.
    """

    orders: Orders
    scores: Float[np.ndarray, " order"]
    alignments: Int[np.ndarray, "order domain k"]
    reference: int

    @property
    def best(self) -> int:
        """Return the index of the best order."""
        return int(self.scores.argmin())

    @property
    def gap(self) -> float:
        """Return how much worse the second-best order scores; infinite with one order."""
        if len(self.orders) < 2:
            return float("inf")
        low, second = np.partition(self.scores, 1)[:2]
        return float(second - low)


@dataclass(frozen=True)
class _Prefixes:
    """Partial alignments of the first i capabilities."""

    chosen: Int[np.ndarray, "prefix domain i"]
    h: Float[np.ndarray, "prefix i d"]
    partial: Float[np.ndarray, "prefix domain"]

    def take(self, index: np.ndarray) -> "_Prefixes":
        return _Prefixes(self.chosen[index], self.h[index], self.partial[index])


def search(
    unmixing: Float[np.ndarray, "domain k d"], *, reference: int = 0, ceiling: float = np.inf
) -> Search:
    """Find the alignment with the smallest max-inexactness under each of the k! orders.

    The result equals trying all (k!)^K alignments. Row i of the inexactness depends only on the
    first i choices and never falls as choices are added, so alignments that share a beginning
    share its cost, and beginnings already worse than a known alignment of every order they can
    still become are dropped. Orders that cannot score below `ceiling` are given that score.

    Raises:
        BadOption: `reference` is not a domain.
    """
    k = unmixing.shape[1]
    if not 0 <= reference < len(unmixing):
        raise BadOption(f"reference domain {reference}; expected 0 to {len(unmixing) - 1}")
    orders = tuple(permutations(range(k)))
    mixing = np.linalg.pinv(unmixing)
    best = np.full(len(orders), ceiling)
    found = np.zeros((len(orders), len(unmixing), k), dtype=np.int64)
    # A first, narrow pass gives each order a score to beat; the second misses nothing.
    for beam in (BEAM, None) if _is_large(unmixing) else (None,):
        bound = _Bound(orders, reference, best)
        for leaves in _descend(unmixing, mixing, _root(unmixing), bound, beam):
            _record(leaves, orders, reference, best, found)
    return Search(orders=orders, scores=best, alignments=found, reference=reference)


def score_orders(
    unmixing: Float[np.ndarray, "domain k d"], alignment: Int[np.ndarray, "domain k"]
) -> tuple[Orders, Float[np.ndarray, " order"]]:
    """Score every reordering of one fixed match of components across domains.

    Order o applies the same permutation of capability positions to all domains.
    """
    k = unmixing.shape[1]
    orders = tuple(permutations(range(k)))
    mixing = np.linalg.pinv(unmixing)
    prefixes = _root(unmixing)
    prefixes = prefixes.take(np.zeros(len(orders), dtype=np.int64))
    for i in range(k):
        choice = np.array([[domain[o[i]] for domain in alignment] for o in orders])
        prefixes = _extend(unmixing, mixing, prefixes, choice)
    return orders, prefixes.partial.max(axis=1) / k


@dataclass(frozen=True)
class _Bound:
    """The score to beat for every order."""

    orders: Orders
    reference: int
    best: np.ndarray

    def keep(self, prefixes: _Prefixes, k: int) -> np.ndarray:
        worst = prefixes.partial.max(axis=1) / k
        heads = prefixes.chosen[:, self.reference]
        ceiling = np.zeros(len(worst))
        for order, score in zip(self.orders, self.best, strict=True):
            fits = (heads == np.array(order[: heads.shape[1]])).all(axis=1)
            ceiling = np.where(fits, np.maximum(ceiling, score), ceiling)
        return np.flatnonzero(worst < ceiling)


def _is_large(unmixing: Float[np.ndarray, "domain k d"]) -> bool:
    count, k = unmixing.shape[:2]
    return bool((k * (k - 1)) ** count > CHUNK)


def _root(unmixing: Float[np.ndarray, "domain k d"]) -> _Prefixes:
    count, _, d = unmixing.shape
    empty = np.zeros((1, count, 0), dtype=np.int64)
    return _Prefixes(empty, np.zeros((1, 0, d)), np.zeros((1, count)))


def _descend(
    unmixing: np.ndarray,
    mixing: np.ndarray,
    prefixes: _Prefixes,
    bound: _Bound,
    beam: int | None,
) -> Iterator[_Prefixes]:
    k = unmixing.shape[1]
    if prefixes.chosen.shape[2] == k:
        yield prefixes
        return
    # Good beginnings first, so that the bound tightens early.
    prefixes = prefixes.take(np.argsort(prefixes.partial.max(axis=1), kind="stable"))
    if beam is not None:
        prefixes = _narrow(prefixes, bound.reference, beam)
    width = max(1, CHUNK // (k - prefixes.chosen.shape[2]) ** len(unmixing))
    for first in range(0, len(prefixes.chosen), width):
        chunk = prefixes.take(np.arange(first, min(first + width, len(prefixes.chosen))))
        chunk = chunk.take(bound.keep(chunk, k)) if chunk.chosen.shape[2] else chunk
        if not len(chunk.chosen):
            continue
        grown = _grow(unmixing, mixing, chunk)
        grown = grown.take(bound.keep(grown, k))
        if len(grown.chosen):
            yield from _descend(unmixing, mixing, grown, bound, beam)


def _narrow(prefixes: _Prefixes, reference: int, beam: int) -> _Prefixes:
    heads = prefixes.chosen[:, reference]
    kept = []
    for head in {tuple(row) for row in heads.tolist()}:
        same = np.flatnonzero((heads == np.array(head, dtype=np.int64)).all(axis=1))
        kept.append(same[:beam])
    return prefixes.take(np.sort(np.concatenate(kept)))


def _grow(unmixing: np.ndarray, mixing: np.ndarray, prefixes: _Prefixes) -> _Prefixes:
    """Extend every prefix by every choice of one further component in each domain."""
    k = unmixing.shape[1]
    count, i = prefixes.chosen.shape[1:]
    taken = np.zeros((len(prefixes.chosen), count, k), dtype=bool)
    np.put_along_axis(taken, prefixes.chosen, True, axis=2)
    free = np.argsort(taken, axis=2, kind="stable")[:, :, : k - i]
    picks = np.array(list(product(range(k - i), repeat=count)))
    choice = free[:, np.arange(count), picks]
    parent = np.repeat(np.arange(len(prefixes.chosen)), len(picks))
    return _extend(unmixing, mixing, prefixes.take(parent), choice.reshape(-1, count))


def _extend(
    unmixing: np.ndarray, mixing: np.ndarray, prefixes: _Prefixes, choice: np.ndarray
) -> _Prefixes:
    domains = np.arange(len(unmixing))
    rows = unmixing[domains, choice]
    new = shared_row(off(rows, prefixes.h))[:, None]
    h = np.concatenate([prefixes.h, new], axis=1)
    # Row i of B is the component's weights on the capabilities up to i.
    fitted = (rows @ np.swapaxes(h, 1, 2)) @ h
    j = np.einsum("ped,edk->pek", fitted, mixing)
    own = np.take_along_axis(j, choice[..., None], axis=2)[..., 0]
    partial = prefixes.partial + row_inexactness(j, own)
    chosen = np.concatenate([prefixes.chosen, choice[..., None]], axis=2)
    return _Prefixes(chosen, h, partial)


def _record(
    leaves: _Prefixes, orders: Orders, reference: int, best: np.ndarray, found: np.ndarray
) -> None:
    scores = leaves.partial.max(axis=1) / len(orders[0])
    for index, order in enumerate(orders):
        same = np.flatnonzero((leaves.chosen[:, reference] == np.array(order)).all(axis=1))
        if len(same) and scores[same].min() < best[index]:
            winner = same[scores[same].argmin()]
            best[index], found[index] = scores[winner], leaves.chosen[winner]
