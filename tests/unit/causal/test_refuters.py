"""A graph is fitted again with everything it was fitted with, and held to what it claims."""

import json
from dataclasses import replace

import numpy as np
import pytest

from causal.identification.refit import open_case
from causal.planted.simulate import Design
from causal.refute import PlaceboDomains, RandomCommonCause, RandomSubset
from causal.searches import stability
from tests.unit.causal.planted_tables import (
    chain_and_collider,
    hierarchy_table,
    in_this_process,
    table_of,
)
from workbench.errors import BadOption
from workbench.methods.contracts import Context
from workbench.methods.registry import find, plugins
from workbench.options import build
from workbench.result.graph_files import read_graph, write_graph
from workbench.runs.execute import execute
from workbench.runs.graphs import open_graph
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.store import Store

SEED = 3
DESIGN = Design(k=2, d=4, n=80, domains=2, noise="uniform")
HIERARCHICAL = {
    "k": 2,
    "null_draws": 5,
    "order_draws": 5,
    "restarts": 3,
    "variants": False,
    "resamples": 5,
    "scaling": "pooled",
    "subspace": "domain",
    "gate": 0.9,
}
# None of these is the default, and each changes the graph or who is in it.
SEARCH = {
    "scope": "pooled",
    "least_models": 60,
    "resamples": 2,
    "orders": 2,
    "benchmarks": ["v0", "v1", "v2", "v3"],
}
SLOW = {"gin", "side-by-side", "recovery"}
NAMES = sorted(
    {"pc", "fci", "cd-nod", "ges", "exact-search", "grasp", "boss"}
    | {"direct-lingam", "ica-lingam", "rlcd", "hierarchical"}
)


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    in_this_process(monkeypatch, stability)


def searched_table():
    """Domains that differ in their means, and a small one that is left out."""
    data = chain_and_collider("laplace", n=250)
    labels = ["north"] * 100 + ["south"] * 100 + ["small"] * 50
    data[100:200] += np.array([3.0, -3.0, 2.0, 0.0, 1.0])
    data[200:] = 50 * np.random.default_rng(0).normal(size=(50, 5))
    return table_of(data, labels)


def options_of(name):
    if name == "hierarchical":
        return {**HIERARCHICAL, "least_models": 60}
    known = {info.name for info in find("discovery", name).options}
    more = {"alpha": 0.2, "test": "fisherz", "score": "bic"}
    return SEARCH | {k: v for k, v in more.items() if k in known and name != "gin"}


@pytest.fixture(scope="module")
def fitted():
    """Return a function that fits a discovery once, through its file form."""
    kept = {}

    def get(name):
        if name not in kept:
            table = hierarchy_table(DESIGN) if name == "hierarchical" else searched_table()
            recipe = build(find("discovery", name).recipe, options_of(name))
            result = recipe.fit(table, Context(seed=SEED, resamples=5))
            graph = read_graph(json.dumps(json.loads(write_graph(result.graph, "json"))))
            assert graph == result.graph
            kept[name] = (replace(result, graph=graph), table)
        return kept[name]

    return get


ALL = [*NAMES, *(pytest.param(n, marks=pytest.mark.slow) for n in ("gin", "side-by-side"))]


def test_no_discovery_is_forgotten():
    assert {p.name for p in plugins("discovery")} == {*NAMES, *SLOW}


@pytest.mark.parametrize("name", ALL)
def test_the_same_rows_give_the_same_graph(name, fitted):
    result, table = fitted(name)
    case = open_case(result, table, Context(seed=SEED))
    again = case.refit(case.cells, np.random.default_rng(8))
    assert again.marks == case.main.marks
    assert again.orders == case.main.orders
    assert again.marks or name in ("rlcd", "gin")
    for edge, weight in case.main.edges.items():
        if weight is not None:
            assert again.edges[edge] == pytest.approx(weight, rel=1e-5, abs=1e-8)
    assert {key[0] for key in case.main.marks} <= set(case.claims)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "nothing", [RandomSubset(draws=3, share=1.0), RandomCommonCause(draws=3, strength=0.0)]
)
def test_every_refuter_that_changes_nothing_finds_nothing(name, nothing, fitted):
    result, table = fitted(name)
    found = nothing.check(result, table, Context(seed=SEED))
    assert found.estimate("same_graph").value == 1.0
    for estimate in found.estimates:
        assert estimate.value in (None, 1.0)
        assert estimate.value is not None or estimate.note
    assert (found.tables["runs"]["new_adjacencies"] == 0).all()


@pytest.mark.parametrize("name", ["direct-lingam", "hierarchical", "pc"])
def test_an_order_is_claimed_by_what_has_one(name, fitted):
    result, table = fitted(name)
    found = RandomSubset(draws=5, share=1.0).check(result, table, Context())
    order = found.estimate("same_order")
    if name == "pc":
        assert order.value is None
        assert order.note == "pc yields a CPDAG, which has no order"
        assert "order" not in found.summary
        assert "orders" not in found.tables
    else:
        assert order.value == 1.0
        assert "order" in found.summary


def test_a_lost_edge_is_counted(fitted):
    result, table = fitted("pc")
    found = RandomCommonCause(draws=5, strength=5.0).check(result, table, Context())
    edges = found.tables["edges"].frame
    share = found.estimate("adjacencies_kept").value
    assert edges["joined"].mean() == pytest.approx(share)
    assert found.estimate("same_graph").value == 0.0
    assert found.tables["runs"]["new_adjacencies"].max() > 0 or share < 1.0


def test_placebo_domains_need_domains(fitted):
    result, table = fitted("pc")
    with pytest.raises(BadOption, match="pooled rows, which do not look at domains"):
        PlaceboDomains(draws=5).check(result, table, Context())
    changed = PlaceboDomains(draws=5).check(*fitted("cd-nod"), Context())
    rows = changed.tables["edges"].frame
    own = rows[(rows["cause"] == "domain") | (rows["effect"] == "domain")]
    assert len(own)
    assert own["joined"].max() <= 0.4
    one = table_of(chain_and_collider("normal", n=100))
    alone = build(find("discovery", "pc").recipe, {"resamples": 0}).fit(one, Context())
    with pytest.raises(BadOption, match="one domain"):
        PlaceboDomains(draws=5).check(alone, one, Context())


def test_a_graph_that_does_not_say_how_it_was_fitted_is_not_refitted(fitted):
    result, table = fitted("pc")
    bare = replace(result, graph=replace(result.graph, facts={}))
    with pytest.raises(BadOption, match="does not say how it was fitted"):
        RandomSubset(draws=5).check(bare, table, Context())


def test_solid_edges_of_a_pooled_graph_come_back(tmp_path):
    path = tmp_path / "scores.csv"
    data = chain_and_collider("laplace", n=400)
    data[200:] += np.array([6.0, 0.0, -6.0, 0.0, 6.0])
    table_of(data, ["one"] * 200 + ["two"] * 200).frame.to_csv(path, index=False)
    store = Store(tmp_path / "store")
    options = {"scope": "pooled", "resamples": 10, "alpha": 1e-4}
    spec = RunSpec(
        kind="discovery", name="pc", options=options, model=None, data=DataRef(path=str(path))
    )
    run = execute(spec, store=store)
    stored = store.get(run.run_id).result.graph
    assert stored == run.result.graph
    assert stored.facts["options"]["alpha"] == 1e-4
    about = RunSpec(
        kind="refuter", name="random-subset", options={"draws": 5}, model=None, graph=run.run_id
    )
    edges = execute(about, store=store).result.tables["edges"].frame
    solid = edges[edges["stability"] >= 0.9]
    assert len(solid) >= 2
    assert (solid["joined"] >= 0.8).all()
    # What a run of its own method left out is read from its spec.
    bare = replace(run, result=replace(run.result, graph=replace(stored, facts={})))
    store.put(bare)
    assert open_graph(store, about).result.graph.facts["options"]["scope"] == "pooled"
