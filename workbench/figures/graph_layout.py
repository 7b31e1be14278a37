"""Where the nodes of a graph stand: causes above effects where there is no circle."""

import math
from typing import Any

import networkx as nx

from workbench.result.tables import Table
from workbench.result.views import GraphView


def layout(names: list[str], edges: Table, view: GraphView) -> dict[str, tuple[float, float]]:
    """Place nodes in the unit square: causes above effects when there is no circle."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(names)
    pairs = zip(map(str, edges[view.cause]), map(str, edges[view.effect]), strict=True)
    graph.add_edges_from(pairs)
    if graph.number_of_edges() and nx.is_directed_acyclic_graph(graph):
        for depth, level in enumerate(nx.topological_generations(graph)):
            for name in level:
                graph.nodes[name]["depth"] = depth
        placed = nx.multipartite_layout(graph, subset_key="depth", align="horizontal")
        found = _fitted({name: (x, -y) for name, (x, y) in placed.items()})
        is_chain = len({graph.nodes[name]["depth"] for name in names}) == len(names)
        return _bowed(found) if is_chain else found
    return _fitted({name: (x, y) for name, (x, y) in nx.circular_layout(graph).items()})


def _bowed(placed: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    # On a bow no three nodes are in line, so that no effect is drawn through a third node.
    return {
        name: (0.25 + 0.5 * math.sin(math.pi * y) if len(placed) > 2 else 0.5, y)
        for name, (_, y) in placed.items()
    }


def _fitted(placed: dict[str, Any]) -> dict[str, tuple[float, float]]:
    spans = []
    for axis in (0, 1):
        values = [float(p[axis]) for p in placed.values()] or [0.0]
        spans.append((min(values), max(values) - min(values)))
    return {
        str(name): tuple(  # type: ignore[misc]
            (float(p[axis]) - spans[axis][0]) / spans[axis][1] if spans[axis][1] > 1e-9 else 0.5
            for axis in (0, 1)
        )
        for name, p in placed.items()
    }


def label_side(places: dict[str, tuple[float, float]], name: str) -> str:
    """Return where a label stands clear of the arrows: outside, on the node's own side."""
    xs = [x for x, _ in places.values()]
    middle = (min(xs) + max(xs)) / 2
    x = places[name][0]
    return "top center" if x == middle else "middle left" if x < middle else "middle right"
