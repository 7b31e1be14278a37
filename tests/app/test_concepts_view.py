"""The Concepts page: errors of explainers beside one pair, whose effects are those of the run."""

import pytest

from workbench.runs.examples import keep_example
from workbench.runs.store import Store


def test_the_example_that_ships_is_open_with_one_pair(open_page, store_path) -> None:
    page = open_page("concepts")
    assert "An example that ships" in page.words
    (run_id,) = keep_example("concepts", Store(store_path))
    result = Store(store_path).get(run_id).result
    first = result.table("pairs").rows()[0]
    assert first["source"] in page.words
    assert first["target"] in page.words
    assert page.figure("Better than zero, by layer")
    answer = result.table("explained").rows()[0]["answer"]
    drawn = page.figure(f"Change of “{answer}”")["data"]
    named = {trace["name"]: trace for trace in drawn if trace.get("name")}
    rows = result.table("explained").frame.query(f"pair == 0 and answer == '{answer}'")
    true = rows[rows["explainer"] == "true"]["effect"]
    assert max(named["true"]["y"]) == pytest.approx(true.iloc[0])


def test_another_pair_brings_its_own_texts(open_page, store_path) -> None:
    page = open_page("concepts")
    (choice,) = [box for box in page.at.selectbox if box.label == "Pair"]
    choice.select(3).run()
    page.settle()
    (run_id,) = keep_example("concepts", Store(store_path))
    row = Store(store_path).get(run_id).result.table("pairs").rows()[3]
    assert row["source"] in page.words


def test_a_run_of_another_probe_is_pointed_to(open_page, store_path) -> None:
    (run_id,) = keep_example("chain", Store(store_path))
    assert "see the page Runs" in open_page("concepts", run=run_id).words
