"""What is known of a graph beforehand: required edges, forbidden edges and tiers."""

from collections.abc import Sequence
from dataclasses import dataclass

import networkx as nx

from causal.searches.conventions import Link
from workbench.errors import BadOption, UnknownName

Pair = tuple[str, str]
ARROWS = ("->", "→")


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Edges (cause, effect) that a graph must have or must not have.

    `later` holds the pairs that tiers forbid as edges and as paths: from a later tier to an
    earlier one.
    """

    required: frozenset[Pair] = frozenset()
    forbidden: frozenset[Pair] = frozenset()
    later: frozenset[Pair] = frozenset()

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self.required or self.forbidden or self.later)

    @property
    def excluded(self) -> frozenset[Pair]:
        """Every edge that cannot be."""
        return self.forbidden | self.later

    def without(self, columns: Sequence[str]) -> str:
        """Return why a graph without these columns cannot keep what is known, empty if it can."""
        named = {name for edge in (*self.required, *self.excluded) for name in edge}
        lost = sorted(named & set(columns))
        told = f"what is known is about columns that are constant here: {', '.join(lost)}"
        return told if lost else ""

    def broken_by(self, links: Sequence[Link]) -> list[str]:
        """Return what a graph gets wrong, in words.

        A directed edge must not be excluded, and a required edge must be directed. An edge
        without a direction is wrong only where both directions are excluded.
        """
        found = {(link.cause, link.effect) for link in links if link.mark == "directed"}
        wrong = [f"{a} → {b} is missing" for a, b in sorted(self.required - found)]
        wrong += [f"{a} → {b} is there" for a, b in sorted(found & self.excluded)]
        open_ends = [link for link in links if link.mark in ("undirected", "circle")]
        wrong += [
            f"{a} and {b} are joined" for a, b, *_ in open_ends if {(a, b), (b, a)} <= self.excluded
        ]
        return wrong


def read_knowledge(
    names: Sequence[str], *, require: Sequence[str], forbid: Sequence[str], tiers: str
) -> Knowledge:
    """Read `CAUSE->EFFECT` items and tiers such as `a,b;c`, earliest first.

    Raises:
        UnknownName: a column that the table does not have.
        BadOption: an item of another form, or knowledge that contradicts itself.
    """
    known = Knowledge(
        required=frozenset(_edge(item, names) for item in require),
        forbidden=frozenset(_edge(item, names) for item in forbid),
        later=_later(tiers, names),
    )
    both = known.required & known.excluded
    if both:
        shown = ", ".join(f"{a} → {b}" for a, b in sorted(both))
        raise BadOption(f"required and forbidden at once: {shown}", hint="leave one of them out")
    graph = nx.DiGraph(list(known.required))
    if not nx.is_directed_acyclic_graph(graph):
        ring = " → ".join([edge[0] for edge in nx.find_cycle(graph)])
        raise BadOption(f"the required edges form a cycle: {ring}", hint="leave one of them out")
    for cause, effect in sorted(known.later):
        if cause in graph and effect in graph and nx.has_path(graph, cause, effect):
            raise BadOption(
                f"the required edges lead from {cause} to {effect}, which is in an earlier tier",
                hint="change the tiers, or leave an edge out",
            )
    return known


def _edge(item: str, names: Sequence[str]) -> Pair:
    # A column's own name may hold an arrow, so every cut is tried.
    cuts = [
        (item[:i].strip(), item[i + len(arrow) :].strip())
        for arrow in ARROWS
        for i in range(len(item))
        if item.startswith(arrow, i)
    ]
    fitting = [pair for pair in cuts if pair[0] in names and pair[1] in names]
    if not fitting:
        if not cuts:
            raise BadOption(f"{item!r} is no edge; expected CAUSE->EFFECT", hint='"a->b"')
        _check_columns([name for name in cuts[0] if name not in names], names)
    cause, effect = fitting[0]
    if cause == effect:
        raise BadOption(f"{item!r} leads from a column to itself", hint='"a->b"')
    return cause, effect


def _later(tiers: str, names: Sequence[str]) -> frozenset[Pair]:
    if not tiers.strip():
        return frozenset()
    levels = [[n.strip() for n in level.split(",") if n.strip()] for level in tiers.split(";")]
    listed = [name for level in levels for name in level]
    _check_columns([name for name in listed if name not in names], names)
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise BadOption(f"in two tiers at once: {', '.join(twice)}", hint='"a,b;c"')
    return frozenset(
        (late, early)
        for i, level in enumerate(levels)
        for late in level
        for before in levels[:i]
        for early in before
    )


def _check_columns(missing: Sequence[str], names: Sequence[str]) -> None:
    if missing:
        raise UnknownName(
            f"no score column {', '.join(map(repr, missing))}; there are {', '.join(names)}",
            hint="edges are CAUSE->EFFECT, tiers `a,b;c` with the earliest first",
        )
