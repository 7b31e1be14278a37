"""Graphs survive being written, and other programs can read them."""

import networkx as nx
import pytest

from workbench.errors import BadOption, DataError
from workbench.result.estimate import Estimate
from workbench.result.graph import CapabilityGraph, Effect, Node
from workbench.result.graph_files import read_graph, write_graph


@pytest.fixture
def graph():
    weight = Estimate(name="z1 → z2", value=1.5, unit="points", n=99, low=1.0, high=2.0)
    return CapabilityGraph(
        nodes=(
            Node(name='z1 "general"', latent=True, anchor="BBH", r_squared=0.9),
            Node(name="z2"),
        ),
        edges=(
            Effect(cause='z1 "general"', effect="z2", weight=weight, group="llama", stability=0.8),
            Effect(cause="z2", effect='z1 "general"', mark="undirected", group="qwen"),
        ),
        order=('z1 "general"', "z2"),
        identified=False,
        verdict="order not identified <&>",
        facts={"h": [[1.0, 2.0]]},
    )


def test_json_reads_back_to_the_same_graph(graph):
    assert read_graph(write_graph(graph, "json")) == graph


def test_graphml_is_read_by_networkx(graph):
    found = nx.parse_graphml(write_graph(graph, "graphml"))
    assert set(found.nodes) == {'z1 "general"', "z2"}
    edges = {(a, b): facts for a, b, facts in found.edges(data=True)}
    assert edges['z1 "general"', "z2"]["weight"] == 1.5
    assert edges["z2", 'z1 "general"']["mark"] == "undirected"
    assert found.graph["verdict"] == "order not identified <&>"


def test_dot_escapes_names(graph):
    text = write_graph(graph, "dot")
    assert '"z1 \\"general\\"" -> "z2"' in text
    assert text.count("->") == 2


def test_other_formats_and_texts_are_refused(graph):
    with pytest.raises(BadOption, match="graphml"):
        write_graph(graph, "pickle")
    with pytest.raises(DataError):
        read_graph("{}")
