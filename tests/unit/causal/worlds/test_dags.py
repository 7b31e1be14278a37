"""Classes, separations and relations against enumeration by other means."""

from itertools import combinations, pairwise, permutations, product

import networkx as nx
import pytest

from causal.worlds.dags import (
    Pattern,
    bits,
    edges,
    from_edges,
    is_acyclic,
    representatives,
    separations,
)
from causal.worlds.relations import RELATIONS, holds, share


def _graph(dag):
    graph = nx.DiGraph(list(edges(dag)))
    graph.add_nodes_from(range(len(dag)))
    return graph


def _all_dags(n):
    pairs = list(combinations(range(n), 2))
    for kinds in product((0, 1, 2), repeat=len(pairs)):
        joined = [p if k == 1 else p[::-1] for p, k in zip(pairs, kinds, strict=True) if k]
        dag = from_edges(n, tuple(joined))
        if is_acyclic(dag):
            yield dag


def _separated_by_networkx(dag):
    graph = _graph(dag)
    return frozenset(
        (x, y, z)
        for x, y, z in product(range(len(dag)), range(len(dag)), range(1 << len(dag)))
        if x < y and not z >> x & 1 and not z >> y & 1
        and nx.is_d_separator(graph, {x}, {y}, set(bits(z)))
    )  # fmt: skip


def _renamed(found, to):
    return frozenset(
        (*sorted((to[x], to[y])), sum(1 << to[v] for v in bits(z))) for x, y, z in found
    )


def test_the_number_of_classes_is_the_published_one():
    assert [len(representatives(n)) for n in (2, 3, 4, 5)] == [2, 5, 20, 142]


def test_labelled_classes_number_as_published():
    """Gillispie & Perlman 2002: 2, 11 and 185 patterns on labelled nodes."""
    for n, expected in ((2, 2), (3, 11), (4, 185)):
        assert len({Pattern.of(dag) for dag in _all_dags(n)}) == expected


@pytest.mark.parametrize("n", [2, 3, 4])
def test_every_relation_of_every_class_is_that_of_the_enumerated_graphs(n):
    by_class = {}
    for dag in _all_dags(n):
        by_class.setdefault(separations(dag), []).append(dag)
    for dag in representatives(n):
        members = by_class[_separated_by_networkx(dag)]
        mine = Pattern.of(dag).members()
        assert set(mine) == set(members)
        assert Pattern.from_separations(n, separations(dag)) == Pattern.of(dag)
        for x, y in permutations(range(n), 2):
            told = [r for m in members for r in _relations_by_paths(m, x, y)]
            for relation in RELATIONS:
                expected = told.count(relation)
                assert share(mine, relation, x, y) * len(members) == expected, (dag, relation)


def _relations_by_paths(dag, x, y):
    """Tell all relations by listing the simple paths of the undirected graph."""
    graph, found = _graph(dag), set()
    for path in nx.all_simple_paths(graph.to_undirected(), x, y):
        ways = [graph.has_edge(a, b) for a, b in pairwise(path)]
        turns = sum(a != b for a, b in pairwise(ways))
        if turns == 0:
            names = ("parent", "child") if len(ways) == 1 else ("ancestor", "descendant")
            found.add(names[0] if ways[0] else names[1])
        if turns == 1:
            found.add("collider" if ways[0] else "confounder")
    return found


def test_separations_are_those_of_networkx_on_five_nodes():
    for dag in representatives(5)[::29]:
        assert separations(dag) == _separated_by_networkx(dag)


def test_a_pattern_of_no_graph_has_no_members():
    square = frozenset({(0, 1), (1, 2), (2, 3), (0, 3)})
    assert Pattern(4, square, frozenset()).members() == ()


def test_a_relation_follows_a_renaming_of_nodes():
    dag = from_edges(4, ((0, 1), (1, 2), (3, 2)))
    for to in permutations(range(4)):
        renamed = from_edges(4, tuple((to[a], to[b]) for a, b in edges(dag)))
        assert separations(renamed) == _renamed(separations(dag), to)
        assert holds(renamed, "collider", to[0], to[3]) is holds(dag, "collider", 0, 3) is True
