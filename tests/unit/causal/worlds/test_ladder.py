"""The causal ladder against full enumeration of noises."""

from itertools import product

import numpy as np
import pytest

from causal.cladder import CLadder
from causal.worlds.binary_model import BinaryModel
from causal.worlds.ladder import GRAPHS, RUNGS, Query, answer, read_model, structure
from workbench.errors import BadOption, DataError


def _model(graph, seed=0):
    draw, parents = np.random.default_rng(seed), structure(GRAPHS[graph])
    tables = {v: draw.uniform(0.05, 0.95, (2,) * len(p)) for v, p in parents.items()}
    return BinaryModel(names=tuple(parents), parents=parents, tables=tables)


class _Noises:
    """Every response of every variable, weighted; the definition of a counterfactual."""

    def __init__(self, model):
        self.model = model
        self.cells = [
            (v, s) for v in model.names for s in product((0, 1), repeat=len(model.parents[v]))
        ]
        draws = np.array(list(product((0, 1), repeat=len(self.cells))), dtype=bool)
        ones = np.array([model.tables[v][s] for v, s in self.cells])
        self.weight = np.where(draws, ones, 1 - ones).prod(axis=1)
        self.answer = {cell: draws[:, i] for i, cell in enumerate(self.cells)}
        self.order = _sorted(model)

    def world(self, do=None, mediators=None):
        do, found = do or {}, {}
        for v in self.order:
            if v in do:
                found[v] = np.full(len(self.weight), bool(do[v]))
                continue
            known = dict(found)
            if mediators is not None and v == "Y":
                known |= {m: x for m, x in mediators.items() if m != "Y"}
            value = np.zeros(len(self.weight), dtype=bool)
            for s in product((0, 1), repeat=len(self.model.parents[v])):
                here = np.ones(len(self.weight), dtype=bool)
                for p, x in zip(self.model.parents[v], s, strict=True):
                    here &= known[p] == bool(x)
                value |= here & self.answer[v, s]
            found[v] = value
        return found

    def mean(self, x, where=None):
        w = self.weight if where is None else self.weight * where
        return float((w * x).sum() / w.sum())


def _sorted(model):
    found = []
    while len(found) < len(model.names):
        found += [v for v in model.names if v not in found and set(model.parents[v]) <= set(found)]
    return found


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_estimand_is_that_of_the_enumerated_noises(graph):
    model = _model(graph)
    noises = _Noises(model)
    actual, up, down = noises.world(), noises.world({"X": 1}), noises.world({"X": 0})
    close = lambda x: pytest.approx(x, abs=1e-12)  # noqa: E731
    for v in model.names:
        assert model.p({v: 1}) == close(noises.mean(actual[v]))
    assert model.p({"Y": 1}, {"X": 1}) == close(noises.mean(actual["Y"], actual["X"]))
    assert model.ate() == close(noises.mean(up["Y"]) - noises.mean(down["Y"]))
    treated = actual["X"]
    assert model.ett() == close(noises.mean(up["Y"], treated) - noises.mean(down["Y"], treated))
    between = set(model.parents["Y"]) - {"X"}
    direct = noises.world({"X": 1}, {v: down[v] for v in between})
    through = noises.world({"X": 0}, {v: up[v] for v in between})
    assert model.nde() == close(noises.mean(direct["Y"]) - noises.mean(down["Y"]))
    assert model.nie() == close(noises.mean(through["Y"]) - noises.mean(down["Y"]))


@pytest.mark.parametrize("graph", [g for g in GRAPHS if g != "collision"])
def test_back_door_sets_give_the_effect_and_others_do_not(graph):
    model = _model(graph, seed=3)
    good = model.back_doors()
    rest = [v for v in model.names if v not in "XY"]
    for keep in product((False, True), repeat=len(rest)):
        z = tuple(v for v, k in zip(rest, keep, strict=True) if k)
        adjusted = 0.0
        for state in product((0, 1), repeat=len(z)):
            known = dict(zip(z, state, strict=True))
            gap = model.p({"Y": 1}, {"X": 1, **known}) - model.p({"Y": 1}, {"X": 0, **known})
            adjusted += gap * model.p(known)
        assert (abs(adjusted - model.ate()) < 1e-9) == (z in good), (graph, z)


def test_drawn_questions_alternate_and_hold_all_kinds():
    items = CLadder().items(40, np.random.default_rng(2))
    assert [i.gold for i in items] == [0, 1] * 20
    assert {i.family for i in items} == set(RUNGS)
    assert {i.meta["rung"] for i in items} == {1, 2, 3}
    assert all("{" not in i.prompt for i in items)
    assert all(i.variants["paraphrased"] != i.prompt for i in items)


def test_the_text_holds_every_number_that_decides():
    for item in CLadder(queries="marginal,ate,nie").items(12, np.random.default_rng(5)):
        assert item.prompt.count("%") == sum(
            2 ** len([e for e in item.meta["edges"] if e[1] == v]) for v in item.meta["roles"]
        )
        assert abs(item.graded - 0.5 * (item.family == "marginal")) >= 0.05


def test_a_counterfactual_of_a_random_cause_is_refused():
    with pytest.raises(DataError, match="deterministic"):
        answer(_model("chain"), Query(kind="det-counterfactual"))
    with pytest.raises(DataError, match="V3"):
        answer(_model("chain"), Query(kind="exp_away"))
    with pytest.raises(BadOption, match="queries=sum"):
        CLadder(queries="sum").items(2, np.random.default_rng(0))


@pytest.mark.parametrize(
    "params",
    [{"p(X)": 0.5}, {"p(X)": 2.0, "p(Y | X)": [0, 1]}, {"p(X)": 0.5, "p(Y | X)": "much"}],
)
def test_a_broken_model_is_refused(params):
    with pytest.raises(DataError):
        read_model({"structure": "X->Y", "params": params})
