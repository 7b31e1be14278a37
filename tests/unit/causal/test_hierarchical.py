"""The discovery as a plugin: from a table to a result, and back to questions."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from causal.hierarchical import Hierarchical
from causal.planted.simulate import Design
from causal.refute import HeldOutDomain, PlaceboDomains, RandomCommonCause, RandomSubset
from causal.scm.answers import (
    answer_paths,
    answer_placement,
    answer_trials,
    answer_what_if,
)
from causal.scm.intervention import Do, Measure, Shock
from causal.scm.place import place
from causal.scm.stored import domain_models, model_of
from causal.scm.trials import check_trials, read_trials
from tests.unit.causal.planted_tables import QUICK, hierarchy_table
from workbench.errors import BadOption
from workbench.methods.contracts import Context, Discovery, Refuter
from workbench.methods.registry import find, plugins
from workbench.options import build, plain
from workbench.result.graph import CapabilityGraph
from workbench.result.result import Result
from workbench.result.tables import Table

# Enough where only the shape of the answer is looked at.
LEAST = {**QUICK, "resamples": 5, "restarts": 1}


@pytest.fixture(scope="module")
def recipe() -> Hierarchical:
    return Hierarchical(**QUICK)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def table(recipe: Hierarchical) -> Table:
    return recipe.read(None)


@pytest.fixture(scope="module")
def result(recipe: Hierarchical, table: Table) -> Result:
    return recipe.fit(table, Context())


def test_it_is_a_registered_discovery() -> None:
    plugin = find("discovery", "hierarchical")
    recipe = plugin.recipe()
    assert isinstance(recipe, Discovery)
    assert "2506.10378" in plugin.source
    assert build(plugin.recipe, plain(recipe)) == recipe
    names = {p.name for p in plugins("refuter")}
    assert {"placebo-domains", "random-subset", "random-common-cause", "held-out-domain"} <= names


def test_result_holds_every_table(result: Result) -> None:
    assert {
        "domains",
        "distances",
        "subsets",
        "orders",
        "edges",
        "latents",
        "anchors",
        "responses",
        "precedence",
        "checks",
        "cleaning",
        "models",
        "published",
    } <= set(result.tables)
    assert len(result.tables["orders"]) == 6
    assert len(result.tables["edges"]) == 5 * 3
    assert len(result.tables["subsets"]) == 6
    assert result.tables["domains"].frame["fitted"].sum() == 4
    assert result.tables["domains"].frame["passed_gate"].sum() == 5
    json.dumps(result.as_dict(), allow_nan=False)
    for name, each in result.tables.items():
        assert set(each.columns) <= set(map(str, each.frame.columns)), name


def test_shipped_order_is_not_identified(result: Result) -> None:
    assert result.graph is not None
    assert result.graph.identified is False
    assert result.summary.startswith("order not identified (best-scoring: IFEval → BBH → MATH")
    assert result.estimate("max_inexactness").value == pytest.approx(0.0262, abs=2e-4)
    assert result.estimate("max_inexactness").control == pytest.approx(0.08, abs=0.03)
    codes = {note.code for note in result.notes}
    assert {"verdict", "snapshot", "gauge", "late-r-squared", "warm-start", "gate"} <= codes


def test_graph_round_trips(result: Result) -> None:
    assert result.graph is not None
    again = CapabilityGraph.from_dict(json.loads(json.dumps(result.graph.as_dict())))
    assert again == result.graph
    assert again.distance(result.graph) == 0
    weight = again.effect("BBH", "MATH Lvl 5", group="llama-3-8b")
    assert weight.low is not None
    assert weight.high is not None
    assert weight.low < weight.value < weight.high  # type: ignore[operator]
    assert again.facts["snapshot"]["sha256"]


def test_same_seed_same_numbers() -> None:
    table = hierarchy_table(Design(k=2, d=4, n=120, domains=2, noise="uniform"))
    recipe = build(Hierarchical, {**LEAST, "k": 2, "gate": 0.9})
    one, other = (recipe.fit(table, Context(seed=3)) for _ in range(2))
    assert one.equals(other)
    assert not one.equals(recipe.fit(table, Context(seed=4)))


def test_a_stored_result_can_be_asked(result: Result) -> None:
    model = model_of(result, scale=(0.0, 100.0))
    assert model.names == ("IFEval", "BBH", "MATH Lvl 5")
    assert len(model.draws) >= 10
    names = domain_models(result, "qwen2.5-14b")
    assert len(names) == model.rows.counts[model.domain("qwen2.5-14b")]
    scores = dict(zip(model.rows.benchmarks, (57.4, 46.6, 31.5, 18.2, 13.0, 46.7), strict=True))
    placed = answer_placement(place(model, "qwen2.5-14b", scores, names=names))
    assert len(placed.estimates) == 3
    assert len(placed.tables["neighbours"]) == 5
    actions = [Shock(capability="IFEval", size=1.0), Measure(benchmark="BBH", change=5.0)]
    x = list(scores.values())
    answer = answer_what_if(model, model.what_if("qwen2.5-14b", x, actions), actions)
    assert "IFEval shocked by +1 SD; measurement of BBH +5 points" in answer.summary
    assert any(note.code == "misread" for note in answer.notes)
    low, high = answer.estimate("change of MATH Lvl 5").low, answer.estimate("change of BBH").high
    assert low is not None
    assert high is not None
    paths = answer_paths(model.paths("qwen2.5-14b", "z1", "z3"), domain="qwen2.5-14b", n=243)
    assert len(paths.tables["paths"]) == 2
    nothing = model.what_if("qwen2.5-14b", x, [Do(capability="z1", value=500.0)])
    assert any("extrapolated" in note.text for note in answer_what_if(model, nothing, []).notes)
    with pytest.raises(BadOption, match="no models of 'gpt'"):
        domain_models(result, "gpt")
    with pytest.raises(BadOption, match="does not come from the hierarchical"):
        model_of(replace(result, arrays={}))
    with pytest.raises(BadOption, match="no table of models"):
        domain_models(replace(result, tables={}), "qwen2.5-14b")


def test_trials_beside_no_change(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    path.write_text(
        "model,trained_on,IFEval,BBH,MATH Lvl 5,GPQA,MUSR,MMLU-PRO\n"
        "Qwen/Qwen2.5-14B,none,37,45,29,20,16,47\n"
        "Qwen/Qwen2.5-14B,BBH,30,67,29,14,16,45\n"
    )
    model = model_of(result)
    answer = answer_trials(check_trials(model, read_trials(path, model.rows.benchmarks)))
    miss = answer.estimate("mean_miss")
    assert miss.value is not None
    assert miss.control is not None
    assert miss.value > miss.control


def test_refuters_run_and_report(result: Result, table: Table) -> None:
    for refuter in (
        PlaceboDomains(draws=5),
        RandomSubset(draws=5),
        RandomCommonCause(draws=5),
        HeldOutDomain(draws=99),
    ):
        assert isinstance(refuter, Refuter)
        found = refuter.check(result, table, Context())
        assert found.summary
        assert found.tables
        assert found.graph is result.graph
        assert all(e.n > 0 for e in found.estimates)
    nothing = RandomSubset(draws=5, share=1.0).check(result, table, Context())
    assert nothing.estimate("same_order").value == 1.0
    assert nothing.tables["runs"]["effect_change"].max() < 1e-6
    # All capabilities are joined whatever the data: that none is lost is no finding.
    assert nothing.estimate("adjacencies_kept").value is None
    with pytest.raises(BadOption, match="holds no graph"):
        RandomSubset().check(replace(result, graph=None), table, Context())


@pytest.mark.slow
def test_variants_say_what_moves(table: Table) -> None:
    recipe = build(Hierarchical, {**QUICK, "variants": True, "resamples": 10})
    frame = recipe.fit(table, Context()).tables["sensitivity"].frame.set_index("variant")
    assert frame.loc["as fitted", "effect_change"] == pytest.approx(0.0, abs=1e-6)
    # Without labels guessed from architecture the low score is gone, and not for lack of rows.
    weak = frame.loc["evidence name-family or stronger"]
    assert weak["max_inexactness"] > 2 * weak["random_rows"]
    assert "fewer than 30 rows" in frame.loc["declared base only", "problem"]
    groups = set(frame["group"])
    assert {
        "main",
        "label evidence",
        "rows",
        "scaling",
        "domain left out",
        "capabilities",
        "wrong domains",
    } == groups


def test_older_snapshot_is_said_loudly(table: Table) -> None:
    older = Table(table.frame.assign(**{"MATH Lvl 5": table.frame["MATH Lvl 5"] * 0.5}))
    older.frame.attrs.clear()
    recipe = build(Hierarchical, {**LEAST, "domains": ["llama-3-8b", "llama-3.1-8b"]})
    found = recipe.fit(older, Context())
    assert any(note.text.startswith("SNAPSHOTS DISAGREE") for note in found.notes)
    assert "snapshots" in found.tables


@pytest.mark.parametrize("k", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_other_numbers_of_capabilities(k: int) -> None:
    design = Design(k=k, d=5, n=120, domains=2, noise="uniform")
    recipe = build(Hierarchical, {**LEAST, "k": k, "least_domains": 2, "gate": 0.9})
    found = recipe.fit(hierarchy_table(design), Context(resamples=10))
    assert found.graph is not None
    assert len(found.graph.order) == k
    assert len(found.tables["orders"]) == [1, 2, 6, 24][k - 1]


def test_scaling_filters_and_one_domain() -> None:
    table = hierarchy_table(Design(k=2, d=4, n=60, domains=2, noise="uniform"))
    for options in ({"scaling": "pooled"}, {"scaling": "domain"}, {"drop": ["duplicates"]}):
        recipe = build(Hierarchical, {**LEAST, "k": 2, "least_models": 50, "gate": 0.9, **options})
        assert recipe.fit(table, Context(resamples=10)).graph is not None
    alone = build(Hierarchical, {**LEAST, "k": 2, "domains": ["domain-1"]})
    found = alone.fit(table, Context(resamples=10))
    assert "one domain fits every order exactly" in found.summary


def test_planted_example_is_recovered() -> None:
    planted = Hierarchical.example(np.random.default_rng(0))
    assert len(planted.rows) == 4
