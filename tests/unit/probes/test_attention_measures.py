"""Attention as a graph and how far heads look: hand-built patterns and networkx."""

import networkx as nx
import numpy as np
import pytest
import torch

from probes.attention_distance import AttentionDistance, distances
from probes.attention_graph import graph_statistics, merged, reciprocity, spectral_gap
from workbench.methods.contracts import Context, Example
from workbench.model.model import Model
from workbench.runs.counting import count_texts
from workbench.runs.spec import RunSpec


def test_a_complete_graph_a_star_and_two_islands() -> None:
    whole = torch.ones(4, 4, dtype=torch.float64) - torch.eye(4)
    assert float(spectral_gap(whole)) == pytest.approx(4 / 3)
    star = torch.zeros(5, 5, dtype=torch.float64)
    star[1:, 0] = 1
    assert float(spectral_gap(star)) == pytest.approx(1)
    islands = torch.block_diag(whole, whole)
    assert float(spectral_gap(islands)) == pytest.approx(0, abs=1e-12)


def test_gap_and_reciprocity_are_those_of_networkx() -> None:
    draw = np.random.default_rng(0)
    weights = np.tril(draw.random((9, 9)))
    graph = nx.from_numpy_array((weights + weights.T) / 2)
    laplacian = nx.normalized_laplacian_matrix(graph).toarray()
    expected = np.sort(np.linalg.eigvalsh(laplacian))[1]
    assert float(spectral_gap(torch.from_numpy(weights))) == pytest.approx(expected)
    edges = (draw.random((9, 9)) < 0.4).astype(np.float64)
    np.fill_diagonal(edges, 0)
    known = nx.overall_reciprocity(nx.from_numpy_array(edges, create_using=nx.DiGraph))
    assert float(reciprocity(torch.from_numpy(edges))) == pytest.approx(known)


def test_statistics_of_attention_on_the_first_token() -> None:
    first = torch.zeros(5, 5, dtype=torch.float64)
    first[:, 0] = 1
    sparsity, hub, back, _ = graph_statistics(first, torch.arange(5), 0.1).tolist()
    assert (sparsity, hub, back) == (pytest.approx(10 / 15), 1, 0)
    even = torch.ones(5, 5, dtype=torch.float64).tril()
    even = even / even.sum(dim=-1, keepdim=True)
    assert float(graph_statistics(even, torch.arange(5), 0.1)[0]) == 0
    assert torch.isnan(graph_statistics(first[:2, :2], torch.arange(2), 0.1)).all()


def test_words_that_read_each_other_return_what_they_get() -> None:
    """a b a: b reads a, and the second a reads b."""
    chain = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=torch.float64)
    words = merged(chain, torch.tensor([7, 3, 7]))
    assert float(reciprocity(words)) == 1
    assert float(reciprocity(chain)) == 0


def test_distance_of_hand_built_heads() -> None:
    n, mask = 6, torch.tensor([[False, True, True, True, True, True]])
    columns = torch.arange(n)
    previous = torch.zeros(1, 3, n, n)
    previous[0, 0, 2:, 1:-1] = torch.eye(n - 2)
    previous[0, 1, 1:, 1] = 1
    previous[0, 2, columns, columns] = 1
    distance, reach, away = distances(previous, mask)
    assert distance[0, :, -1].tolist() == [1, 4, 0]
    assert reach[0, :, -1].tolist() == [0.5, 2, 0]
    assert away[0, 0, -1] == pytest.approx(2 / 3)
    assert torch.isnan(distance[0, :, :3]).all()


def test_a_uniform_model_cannot_guess(tiny_llama: Model) -> None:
    """Uniform attention has a reach of one, whatever the length."""
    rows = [Example(text="the cat sat . the red dog ran to paris", number=0)]
    probe = AttentionDistance()
    context = Context.of(tiny_llama)
    found = count_texts(probe, RunSpec(name="any"), rows, tiny_llama, context).result
    assert found.estimate("reach").control == pytest.approx(1)
    assert found.estimate("away").control == pytest.approx(1)
    assert 0.9 < found.estimate("entropy").value <= 1


def test_two_tokens_have_no_distance_and_the_summary_says_so(tiny_llama: Model) -> None:
    rows = [Example(text="the cat", number=0)]
    job = RunSpec(name="attention-distance")
    found = count_texts(AttentionDistance(), job, rows, tiny_llama, Context.of(tiny_llama)).result
    assert found.summary.startswith("No text has the three tokens")
