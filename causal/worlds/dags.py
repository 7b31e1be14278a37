"""Directed acyclic graphs as bit masks, their separations and Markov equivalence classes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations

import numpy as np
from numpy.typing import NDArray

Dag = tuple[int, ...]
"""The parents of every node, as a bit mask."""

Separation = tuple[int, int, int]
"""Two nodes, the lower first, and the mask of what separates them."""


def bits(mask: int) -> Iterator[int]:
    """Yield the nodes of a mask in order."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def edges(dag: Dag) -> tuple[tuple[int, int], ...]:
    """Return every edge as (cause, effect)."""
    return tuple((a, b) for b, parents in enumerate(dag) for a in bits(parents))


def from_edges(n: int, found: Iterator[tuple[int, int]] | tuple[tuple[int, int], ...]) -> Dag:
    """Return the graph with those (cause, effect) edges."""
    parents = [0] * n
    for cause, effect in found:
        parents[effect] |= 1 << cause
    return tuple(parents)


def children(dag: Dag) -> tuple[int, ...]:
    """Return the children of every node, as masks."""
    found = [0] * len(dag)
    for a, b in edges(dag):
        found[a] |= 1 << b
    return tuple(found)


def closure(start: int, step: tuple[int, ...]) -> int:
    """Return a mask with everything in reach of it by masks of next nodes."""
    reached, fresh = start, start
    while fresh:
        after = 0
        for node in bits(fresh):
            after |= step[node]
        fresh = after & ~reached
        reached |= fresh
    return reached


def is_acyclic(parents: Dag) -> bool:
    """Whether a directed graph has no cycle."""
    left = (1 << len(parents)) - 1
    while left:
        free = [v for v in bits(left) if not parents[v] & left]
        if not free:
            return False
        for v in free:
            left &= ~(1 << v)
    return True


def separated(dag: Dag, x: int, y: int, given: int) -> bool:
    """Whether x and y are d-separated by a mask of other nodes.

    Source: Lauritzen et al. 1990, by the moral graph of the ancestral set.
    """
    kept = closure((1 << x) | (1 << y) | given, dag)
    near = [0] * len(dag)
    for v in bits(kept):
        family = dag[v] | (1 << v)
        for u in bits(family):
            near[u] |= family
    open_ = kept & ~given
    return not closure(1 << x, tuple(m & open_ for m in near)) >> y & 1


def separations(dag: Dag) -> frozenset[Separation]:
    """Return every d-separation of two nodes by a set of the others."""
    n = len(dag)
    return frozenset(
        (x, y, z)
        for x, y in combinations(range(n), 2)
        for z in subsets(((1 << n) - 1) & ~(1 << x) & ~(1 << y))
        if separated(dag, x, y, z)
    )


def subsets(mask: int) -> Iterator[int]:
    """Yield every subset of a mask, the empty one first."""
    sub = 0
    while True:
        yield sub
        if sub == mask:
            return
        sub = (sub - mask) & mask


@dataclass(frozen=True)
class Pattern:
    """What all graphs of a Markov equivalence class share.

    `joined` are adjacent pairs, `immoral` the triples (a, c, b) of a → c ← b with a, b apart.

    Source: Verma & Pearl 1990.
    """

    n: int
    joined: frozenset[tuple[int, int]]
    immoral: frozenset[tuple[int, int, int]]

    @classmethod
    def of(cls, dag: Dag) -> "Pattern":
        """Return the pattern of a graph."""
        joined = frozenset((min(e), max(e)) for e in edges(dag))
        immoral = frozenset(
            (a, c, b)
            for c, parents in enumerate(dag)
            for a, b in combinations(bits(parents), 2)
            if (a, b) not in joined
        )
        return cls(len(dag), joined, immoral)

    @classmethod
    def from_separations(cls, n: int, found: frozenset[Separation]) -> "Pattern":
        """Return the only pattern that a full list of separations may belong to."""
        apart: dict[tuple[int, int], int] = {}
        for x, y, z in sorted(found):
            apart.setdefault((x, y), z)
        joined = frozenset(p for p in combinations(range(n), 2) if p not in apart)
        immoral = frozenset(
            (a, c, b)
            for (a, b), z in apart.items()
            for c in range(n)
            if {(min(a, c), max(a, c)), (min(b, c), max(b, c))} <= joined and not z >> c & 1
        )
        return cls(n, joined, immoral)

    def members(self) -> tuple[Dag, ...]:
        """Return every graph of the class in a fixed order; none where the pattern has none."""
        return _members(self)


@lru_cache(maxsize=4096)
def _members(pattern: Pattern) -> tuple[Dag, ...]:
    compelled = {e for a, c, b in pattern.immoral for e in ((a, c), (b, c))}
    loose = sorted(p for p in pattern.joined if not {p, p[::-1]} & compelled)
    if any(e[::-1] in compelled for e in compelled):
        return ()
    found: list[Dag] = []
    _orient(from_edges(pattern.n, tuple(compelled)), loose, pattern, found)
    return tuple(sorted(found))


def _orient(dag: Dag, loose: list[tuple[int, int]], pattern: Pattern, found: list[Dag]) -> None:
    if not is_acyclic(dag) or not _is_moral(dag, pattern):
        return
    if not loose:
        if Pattern.of(dag) == pattern:
            found.append(dag)
        return
    (a, b), rest = loose[0], loose[1:]
    for cause, effect in ((a, b), (b, a)):
        step = dag[effect] | (1 << cause)
        _orient((*dag[:effect], step, *dag[effect + 1 :]), rest, pattern, found)


def _is_moral(dag: Dag, pattern: Pattern) -> bool:
    """Whether no collider of unjoined parents stands that the pattern lacks."""
    return all(
        (a, b) in pattern.joined or (a, c, b) in pattern.immoral
        for c, parents in enumerate(dag)
        for a, b in combinations(bits(parents), 2)
    )


def representatives(n: int) -> tuple[Dag, ...]:
    """Return one graph of each Markov equivalence class on n unlabelled nodes.

    2, 5, 20, 142 and 2,201 classes for n = 2 to 6; six nodes take a minute.

    Source: Jin et al. 2024, arXiv:2306.05836, section 3, who give 2,207 for six nodes: a fault in
    the released search splits some of them.
    """
    pairs = list(combinations(range(n), 2))
    by_pattern: dict[Pattern, Dag] = {}
    for code in range(1 << len(pairs)):
        dag = from_edges(n, tuple(p for i, p in enumerate(pairs) if code >> i & 1))
        by_pattern.setdefault(Pattern.of(dag), dag)
    keys = _canonical(n, list(by_pattern))
    firsts: dict[bytes, Dag] = {}
    for key, dag in zip(keys, by_pattern.values(), strict=True):
        firsts.setdefault(key, dag)
    return tuple(firsts.values())


def _canonical(n: int, patterns: list[Pattern]) -> list[bytes]:
    """Return a key of every pattern that no renaming of nodes changes."""
    pairs = {p: i for i, p in enumerate(combinations(range(n), 2))}
    triples = {
        (a, c, b): len(pairs) + i
        for i, (a, b, c) in enumerate(
            (a, b, c) for a, b in pairs for c in range(n) if c not in (a, b)
        )
    }
    marks: NDArray[np.uint8] = np.zeros((len(patterns), len(pairs) + len(triples)), np.uint8)
    for row, pattern in enumerate(patterns):
        marks[row, [pairs[p] for p in pattern.joined] + [triples[t] for t in pattern.immoral]] = 1
    least: list[bytes] = []
    for to in permutations(range(n)):
        order = [pairs[min(to[a], to[b]), max(to[a], to[b])] for a, b in pairs]
        order += [triples[min(to[a], to[b]), to[c], max(to[a], to[b])] for a, c, b in triples]
        renamed = [row.tobytes() for row in np.packbits(marks[:, order], axis=1)]
        least = [min(p) for p in zip(least, renamed, strict=True)] if least else renamed
    return least
