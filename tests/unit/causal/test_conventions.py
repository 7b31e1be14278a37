"""Directions come out right on planted graphs, whatever the library's matrix says."""

import numpy as np
import pytest

from causal.searches.algorithms import ALGORITHMS, run
from causal.searches.conventions import links_of_effects, links_of_marks


def test_marks_by_hand():
    # i → j is an arrow at j: graph[j, i] = 1, graph[i, j] = -1.
    graph = np.zeros((4, 4), dtype=int)
    graph[1, 0], graph[0, 1] = 1, -1
    graph[2, 1], graph[1, 2] = 1, 1
    graph[3, 2], graph[2, 3] = -1, -1
    graph[0, 3], graph[3, 0] = 1, 2
    links = {(a, b): mark for a, b, mark, _ in links_of_marks(graph, "abcd")}
    assert links == {
        ("a", "b"): "directed",
        ("b", "c"): "bidirected",
        ("c", "d"): "undirected",
        ("d", "a"): "possible",
    }


def test_lingam_matrix_is_transposed():
    effects = np.array([[0, 0], [2.5, 0]])
    assert links_of_effects(effects, "ab") == [("a", "b", "directed", 2.5)]


def collider(generator, n=1500):
    """x → z ← y with z → w; Laplace noises."""
    x, y, e, f = generator.laplace(size=(4, n))
    z = x + y + 0.5 * e
    return np.column_stack([x, y, z, 0.8 * z + 0.5 * f])


def request(algorithm, data, **more):
    names = [f"v{i}" for i in range(data.shape[1])]
    common = {"algorithm": algorithm, "data": data, "names": names, "alpha": 0.01, "seed": 0}
    return {**common, "orders": 5, **more}


ORIENTING = ["pc", "ges", "exact-search", "grasp", "boss", "direct-lingam", "ica-lingam"]


@pytest.mark.parametrize("algorithm", ORIENTING)
def test_planted_collider_is_recovered(algorithm):
    data = collider(np.random.default_rng(0))
    found = run(request(algorithm, data, independence=False))["links"]
    directed = {(a, b) for a, b, mark, _ in found if mark == "directed"}
    assert {("v0", "v2"), ("v1", "v2")} <= directed
    assert not {("v2", "v0"), ("v2", "v1")} & directed
    assert ("v2", "v3") in directed


def test_fci_finds_the_arrows_into_the_collider():
    data = collider(np.random.default_rng(0))
    found = run(request("fci", data))["links"]
    marks = {(a, b): mark for a, b, mark, _ in found}
    assert marks["v0", "v2"] in ("possible", "directed")
    assert marks["v2", "v3"] == "directed"


def test_rlcd_finds_two_latents():
    generator = np.random.default_rng(2)
    latents = generator.normal(size=(2000, 2))
    latents[:, 1] += 0.8 * latents[:, 0]
    data = np.repeat(latents, 3, axis=1) * 1.2 + 0.5 * generator.normal(size=(2000, 6))
    found = run(request("rlcd", data, orders=1))["links"]
    parents = {b: a for a, b, mark, _ in found if a.startswith("latent") and b.startswith("v")}
    assert len({parents[f"v{i}"] for i in range(3)}) == 1
    assert parents["v0"] != parents["v3"]


def test_every_algorithm_has_a_home():
    assert set(ORIENTING) | {"fci", "cd-nod", "gin", "rlcd"} == set(ALGORITHMS)
