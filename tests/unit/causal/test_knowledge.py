"""Required edges, forbidden edges and tiers hold in what comes out, or are refused by name."""

import numpy as np
import pytest

from causal.constraint import PC
from causal.searches import stability
from causal.searches.abilities import ABILITIES
from causal.searches.conventions import Link
from causal.searches.knowledge import Knowledge, read_knowledge
from causal.searches.stability import Search, fit, split
from tests.unit.causal.planted_tables import chain_and_collider, in_this_process, table_of
from workbench.errors import BadOption, InputError, UnknownName
from workbench.methods.contracts import Context
from workbench.methods.registry import find
from workbench.options import build

NAMES = tuple(f"v{i}" for i in range(5))
TAKING = [name for name, ability in ABILITIES.items() if len(ability.known) == 3]
REFUSING = [name for name, ability in ABILITIES.items() if not ability.known]


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    in_this_process(monkeypatch, stability)


def known(require=(), forbid=(), tiers="", names=NAMES):
    return read_knowledge(names, require=require, forbid=forbid, tiers=tiers)


def fitted(algorithm, knowledge):
    data = chain_and_collider("laplace", n=400)
    labels = [str(i % 2) for i in range(400)] if algorithm == "cd-nod" else ["all"] * 400
    (rows,) = split(data, labels, "pooled", NAMES)
    search = Search(algorithm=algorithm, resamples=0, knowledge=knowledge)
    return fit(search, rows, generator=np.random.default_rng(0))


@pytest.mark.parametrize("algorithm", TAKING)
def test_knowledge_is_kept(algorithm):
    plain = {link[:3] for link in fitted(algorithm, Knowledge()).links}
    facts = known(require=["v0->v4", "v0 → v1"], forbid=["v2->v3", "v3->v2"], tiers="v0,v2;v3;v4")
    found = fitted(algorithm, facts)
    assert not found.failure
    marks = {link[:2]: link.mark for link in found.links}
    assert marks["v0", "v4"] == marks["v0", "v1"] == "directed"
    assert not {("v2", "v3"), ("v3", "v2")} & marks.keys()
    assert {link[:3] for link in found.links} != plain
    assert facts.broken_by(found.links) == []


def test_fci_takes_required_edges():
    found = fitted("fci", known(require=["v0->v4"]))
    assert ("v0", "v4", "directed") in {link[:3] for link in found.links}


@pytest.mark.parametrize("algorithm", [*REFUSING, "fci"])
def test_others_refuse_by_name(algorithm):
    recipe = build(find("discovery", algorithm).recipe, {"forbid": ["v0->v1"], "resamples": 0})
    with pytest.raises(BadOption, match=f"{algorithm} cannot use forbidden edges"):
        recipe.fit(table_of(chain_and_collider("laplace", n=150)), Context())


def test_a_banned_pair_makes_no_collider():
    # x ← z → y: what is forbidden between x and y says nothing of z.
    z, e, f = np.random.default_rng(0).normal(size=(3, 500))
    (rows,) = split(np.column_stack([z + e, z, z + f]), ["all"] * 500, "pooled", ("x", "z", "y"))
    facts = known(forbid=["x->y", "y->x"], names=("x", "z", "y"))
    for algorithm in ("pc", "exact-search"):
        search = Search(algorithm=algorithm, resamples=0, knowledge=facts)
        found = fit(search, rows, generator=np.random.default_rng(0))
        assert {link.mark for link in found.links} == {"undirected"}
        assert len(found.links) == 2


def test_what_a_graph_breaks_is_listed():
    facts = Knowledge(
        required=frozenset({("a", "b")}),
        forbidden=frozenset({("c", "d"), ("d", "c")}),
        later=frozenset({("b", "c")}),
    )
    links = [Link("b", "c", "directed"), Link("c", "d", "undirected"), Link("a", "b", "undirected")]
    assert facts.broken_by(links) == [
        "a → b is missing",
        "b → c is there",
        "c and d are joined",
    ]


def test_knowledge_of_a_constant_column_is_not_dropped_in_silence():
    data = np.random.default_rng(0).normal(size=(60, 3))
    data[:, 2] = 4.0
    (rows,) = split(data, ["all"] * 60, "pooled", NAMES[:3])
    search = Search(algorithm="pc", resamples=0, knowledge=known(require=["v0->v2"]))
    found = fit(search, rows, generator=np.random.default_rng(0))
    assert "columns that are constant here: v2" in found.failure


@pytest.mark.parametrize(
    ("wrong", "expected", "error"),
    [
        ({"require": ["v0->zebra"]}, "'zebra'", UnknownName),
        ({"forbid": ["zebra->v0"]}, "'zebra'", UnknownName),
        ({"tiers": "v0;zebra"}, "'zebra'", UnknownName),
        ({"require": ["v0"]}, "expected CAUSE->EFFECT", BadOption),
        ({"require": ["v0->v0"]}, "to itself", BadOption),
        ({"require": ["v0->v1"], "forbid": ["v0->v1"]}, "required and forbidden", BadOption),
        ({"require": ["v0->v1", "v1->v2", "v2->v0"]}, "a cycle", BadOption),
        ({"require": ["v0->v1"], "tiers": "v1;v0"}, "required and forbidden", BadOption),
        ({"require": ["v0->v2", "v2->v1"], "tiers": "v1;v0"}, "earlier tier", BadOption),
        ({"tiers": "v0;v0"}, "two tiers", BadOption),
    ],
)
def test_wrong_knowledge_is_explained(wrong, expected, error):
    with pytest.raises(error, match=expected) as raised:
        PC(**{k: v if isinstance(v, str) else tuple(v) for k, v in wrong.items()}, resamples=0).fit(
            table_of(chain_and_collider("normal", n=150)), Context()
        )
    assert isinstance(raised.value, InputError)


def test_names_may_hold_arrows():
    names = ("a->b", "c")
    assert read_knowledge(names, require=["a->b->c"], forbid=(), tiers="").required == {
        ("a->b", "c")
    }
