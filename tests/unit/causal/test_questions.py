"""Questions run through the one door, about a stored graph."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from causal.planted.simulate import Design, plant
from causal.questions import pairs
from workbench.errors import BadOption, DataError, InputError, RunNotFound
from workbench.runs.execute import execute
from workbench.runs.spec import DataRef, RunSpec
from workbench.runs.store import Store

QUICK = {
    "resamples": 10,
    "null_draws": 5,
    "order_draws": 5,
    "restarts": 3,
    "variants": False,
    "model_column": "model",
    "domain_column": "domain",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store with one graph, fitted to a planted table in a file."""
    folder = tmp_path_factory.mktemp("graphs")
    planted = plant(Design(n=300), np.random.default_rng(3))
    scores = 50 + 5 * planted.rows.pooled
    frame = pd.DataFrame(scores, columns=list(planted.rows.benchmarks))
    frame.insert(0, "model", [f"m{i}" for i in range(len(frame))])
    frame.insert(1, "domain", np.repeat(planted.rows.names, planted.rows.counts))
    path = folder / "scores.csv"
    frame.to_csv(path, index=False)
    store = Store(folder / "store")
    data = DataRef(path=str(path))
    run = execute(
        RunSpec(kind="discovery", name="hierarchical", options=QUICK, model=None, data=data),
        store=store,
    )
    assert run.status == "complete", run.failure
    return store, run, path


def ask(home, name, **options):
    store, run, _ = home
    return execute(
        RunSpec(kind="question", name=name, options=options, model=None, graph=run.run_id),
        store=store,
    )


def test_a_shock_moves_scores_and_is_stored(home):
    asked = ask(home, "what-if", shock=("z1=1",))
    assert asked.status == "complete", asked.failure
    assert asked.spec.graph == home[1].run_id
    changes = asked.result.tables["scores"].frame["change"]
    assert changes.abs().max() > 0
    assert home[0].get(asked.run_id).result.equals(asked.result)
    most = changes.abs().idxmax()
    name = asked.result.tables["scores"].frame["name"][most]
    assert f"most the change of {name} " in asked.result.summary
    still = ask(home, "what-if", shock=("z1=0",)).result
    assert still.tables["scores"].frame["change"].abs().max() < 1e-9
    assert still.summary.startswith("No score is shown to change")


def test_place_reproduces_a_model_of_the_table(home):
    placed = ask(home, "place", model="m5")
    assert placed.status == "complete", placed.failure
    assert "m5" in placed.result.tables["neighbours"].frame["model"].tolist()


def test_paths_add_up(home):
    found = ask(home, "effects", cause="z1", effect="z3")
    assert found.status == "complete", found.failure
    by_name = {e.name: e.value for e in found.result.estimates}
    parts = by_name["direct effect"] + by_name["indirect effect"]
    assert parts == pytest.approx(by_name["total effect"])


def test_a_refuter_runs_through_the_same_door(home):
    store, run, _ = home
    checked = execute(
        RunSpec(
            kind="refuter",
            name="random-subset",
            options={"draws": 5},
            model=None,
            graph=run.run_id,
        ),
        store=store,
    )
    assert checked.status == "complete", checked.failure


def test_what_cannot_be_asked_is_said(home):
    store, run, _ = home
    spec = RunSpec(kind="question", name="what-if", model=None)
    with pytest.raises(InputError, match="stored graph"):
        execute(spec, store=store)
    with pytest.raises(InputError, match="stored graph"):
        execute(RunSpec(kind="question", name="what-if", model=None, graph=run.run_id))
    with pytest.raises(RunNotFound):
        execute(RunSpec(kind="question", name="what-if", model=None, graph="nothing"), store=store)
    unknown = ask(home, "what-if", shock=("zebra=1",))
    assert unknown.status == "failed"
    assert "zebra" in unknown.failure.message


def test_a_changed_table_is_noticed(home):
    path = home[2]
    before = Path(path).read_text()
    try:
        Path(path).write_text(before + "x,y,1,1,1,1,1,1\n")
        with pytest.raises(DataError, match="changed"):
            ask(home, "effects")
    finally:
        Path(path).write_text(before)


def test_pairs_collect_every_problem():
    assert pairs(["MMLU-PRO=3.5", "a=b=2"]) == [("MMLU-PRO", 3.5), ("a=b", 2.0)]
    with pytest.raises(BadOption, match=r"'x'.*'=3'.*'y=nan'"):
        pairs(["x", "=3", "y=nan"])
