"""Graphs as files that other programs read: JSON, GraphML and DOT."""

import json
from typing import Any

from workbench.errors import BadOption, DataError
from workbench.result.graph import CapabilityGraph, Effect

FORMATS = ("json", "graphml", "dot")

_DOT_MARKS = {
    "directed": "dir=forward",
    "possible": "dir=both, arrowtail=odot",
    "bidirected": "dir=both",
    "undirected": "dir=none",
    "circle": "dir=both, arrowhead=odot, arrowtail=odot",
}


def write_graph(graph: CapabilityGraph, kind: str) -> str:
    """Return a graph as the text of a file; JSON reads back to the same graph.

    Raises:
        BadOption: the format is not known.
    """
    if kind == "json":
        return json.dumps(graph.as_dict(), indent=1, ensure_ascii=False)
    if kind == "graphml":
        return _graphml(graph)
    if kind == "dot":
        return _dot(graph)
    raise BadOption(f"graph format {kind!r} is not known; expected one of {', '.join(FORMATS)}")


def read_graph(text: str) -> CapabilityGraph:
    """Read a graph from the JSON that `write_graph` wrote.

    Raises:
        DataError: the text is not such a graph.
    """
    try:
        return CapabilityGraph.from_dict(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"not the JSON of a graph: {error}") from error


def _graphml(graph: CapabilityGraph) -> str:
    import networkx as nx

    target: Any = nx.MultiDiGraph(
        method=graph.method,
        verdict=graph.verdict,
        identified=str(graph.identified),
        facts=json.dumps(graph.facts, ensure_ascii=False, default=str),
    )
    for node in graph.nodes:
        facts = {"latent": node.latent, "anchor": node.anchor, "r_squared": node.r_squared}
        target.add_node(node.name, **_present(facts))
    for edge in graph.edges:
        target.add_edge(edge.cause, edge.effect, **_present(_edge_facts(edge)))
    return "\n".join(nx.generate_graphml(target)) + "\n"


def _edge_facts(edge: Effect) -> dict[str, Any]:
    names = ("mark", "group", "assumption", "stability")
    facts = {name: getattr(edge, name) for name in names}
    if edge.weight:
        facts |= {"weight": edge.weight.value, "low": edge.weight.low, "high": edge.weight.high}
    return facts


def _present(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _dot(graph: CapabilityGraph) -> str:
    lines = ["digraph capabilities {", f"  label={_quoted(graph.verdict)};"]
    for node in graph.nodes:
        shape = "ellipse" if node.latent else "box"
        lines.append(f"  {_quoted(node.name)} [shape={shape}];")
    for edge in graph.edges:
        label = f"{edge.weight.value:.3g}" if edge.weight and edge.weight.value is not None else ""
        text = " ".join(filter(None, (edge.group, label)))
        marks = f"label={_quoted(text)}, {_DOT_MARKS.get(edge.mark, 'dir=forward')}"
        lines.append(f"  {_quoted(edge.cause)} -> {_quoted(edge.effect)} [{marks}];")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
