"""CD-NOD finds what changes between domains, whatever they are called and in which order."""

from itertools import permutations

import numpy as np
import pytest

from causal.constraint import CDNOD
from causal.searches import stability
from causal.searches.algorithms import run
from causal.searches.arrangement import domain_codes
from causal.searches.by_tests import DOMAIN
from causal.searches.linear_tests import (
    blocks_independent,
    domain_changes,
    independent_within,
    one_hot,
)
from tests.unit.causal.planted_tables import in_this_process, table_of
from workbench.methods.contracts import Context

NONE = np.zeros((400, 0))


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    in_this_process(monkeypatch, stability)


def shifted(pattern, seed, n=100):
    """x → y → z in four domains of n rows; the mean of y follows the pattern."""
    generator = np.random.default_rng(seed)
    domain = np.repeat(np.arange(len(pattern)), n)
    x, e, f = generator.laplace(size=(3, len(domain)))
    y = 0.8 * x + 2.0 * np.array(pattern)[domain] + e
    return np.column_stack([x, y, 0.8 * y + f]), domain


def touched(links):
    return {a if b == DOMAIN else b for a, b, *_ in links if DOMAIN in (a, b)}


def request(data, domain, **more):
    names = [f"v{i}" for i in range(data.shape[1])]
    return {"algorithm": "cd-nod", "data": data, "names": names, "alpha": 0.01, "seed": 0} | {
        "domain": domain,
        **more,
    }


@pytest.mark.parametrize("pattern", [(0, 1, 1, 0), (0, 0, 1, 1), (1, 0, 0, 0), (0, 1, 0, 1)])
def test_every_pattern_of_shifts_is_found(pattern):
    found = [touched(run(request(*shifted(pattern, seed)))["links"]) for seed in range(10)]
    assert all("v1" in names for names in found)
    assert sum(names == {"v1"} for names in found) >= 8


def test_nothing_is_found_where_nothing_changes():
    found = [touched(run(request(*shifted((0, 0, 0, 0), seed)))["links"]) for seed in range(10)]
    assert sum(not names for names in found) >= 8


@pytest.mark.parametrize("what", ["slope", "spread"])
def test_slopes_and_spreads_are_changes_too(what):
    generator = np.random.default_rng(3)
    domain = np.repeat(np.arange(4), 200)
    x, e = generator.laplace(size=(2, 800))
    turn = np.array([0, 1, 1, 0])[domain]
    y = (1.0 + 2.0 * turn) * x + e if what == "slope" else x + (1.0 + 2.0 * turn) * e
    assert "v1" in touched(run(request(np.column_stack([x, y]), domain))["links"])


def test_a_cause_that_turns_round_between_domains_is_kept():
    generator = np.random.default_rng(3)
    domain = np.repeat(np.arange(2), 200)
    x, e = generator.normal(size=(2, 400, 1))
    y = np.where(domain == 0, 1.0, -1.0)[:, None] * x + e
    assert independent_within(x, y, NONE, domain) < 1e-9
    assert blocks_independent(x, y, one_hot(domain)) > 1e-3


def test_twelve_relabellings_give_one_graph():
    data, domain = shifted((0, 1, 1, 0), 0)
    graphs = []
    generator = np.random.default_rng(0)
    for names in list(permutations("abcd"))[::2]:
        rows = generator.permutation(len(data))
        labels = np.array(names)[domain][rows]
        recipe = CDNOD(scope="pooled", resamples=1, orders=1, least_models=50)
        graph = recipe.fit(table_of(data[rows], labels), Context()).graph
        graphs.append({(e.cause, e.effect, e.mark, e.stability) for e in graph.edges})
    assert len(graphs) == 12
    assert all(graph == graphs[0] for graph in graphs)
    assert (DOMAIN, "v1", "directed", 1.0) in graphs[0]


def test_the_kernel_test_is_blind_to_labels_too():
    data, domain = shifted((0, 1, 1, 0), 1, n=20)
    found = {
        frozenset(link[:3] for link in run(request(data, codes, test="kci"))["links"])
        for codes in (domain, np.array([2, 0, 3, 1])[domain], np.array([3, 1, 0, 2])[domain])
    }
    assert len(found) == 1
    assert "v1" in touched(next(iter(found)))


def test_domains_are_numbered_by_their_rows():
    labels = np.array(["b", "b", "a", "c", "a"])
    assert domain_codes(labels).tolist() == [0, 0, 1, 2, 1]


@pytest.mark.parametrize("noise", ["normal", "laplace", "exponential"])
def test_the_tests_keep_their_level(noise):
    generator = np.random.default_rng(5)
    draw = getattr(generator, noise)
    p = []
    for _ in range(200):
        domain = generator.integers(0, 4, 200)
        s = draw(size=(200, 1))
        x, y = s + draw(size=(200, 1)), s + draw(size=(200, 1))
        p.append(
            [
                domain_changes(y[:, 0], s, domain),
                blocks_independent(x, y, s),
                independent_within(x, y, s, domain),
            ]
        )
    # Twice the binomial standard error above 5 %, at 200 draws.
    assert (np.mean(np.array(p) < 0.05, axis=0) < 0.05 + 2 * 0.0155).all()
    # Doubling the smaller of two p-values halves few of them: 44 % are expected below 0.5.
    assert (np.mean(np.array(p) < 0.5, axis=0) > 0.3).all()
