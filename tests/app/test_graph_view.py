"""The Cause page: fit the shipped table, read the verdict, move a slider, take the graph away."""

from html import escape

import numpy as np
import pandas as pd
import pytest

from workbench.runs.execute import execute
from workbench.runs.spec import RunSpec
from workbench.runs.store import Store

QUICK = {
    "resamples": 12,
    "null_draws": 20,
    "order_draws": 20,
    "restarts": 4,
    "variants": False,
    "domains": ("llama-3-8b", "llama-3.1-8b", "qwen2.5-7b", "qwen2.5-14b"),
}


@pytest.mark.slow
def test_a_fitted_graph_is_shown_asked_and_exported(open_page, store_path) -> None:
    fitted = execute(
        RunSpec(kind="discovery", name="hierarchical", options=QUICK, model=None),
        store=Store(store_path),
    )
    assert fitted.status == "complete"
    page = open_page("graph")
    assert escape(fitted.result.summary) in page.html
    assert "not identified" in page.words
    assert fitted.run_id in page.html
    asked = page.run("what-if")
    assert escape(asked.result.summary) in page.html
    page.at.slider[1].set_value(2.0)
    page.settle()
    moved = page.run("what-if")
    assert moved.run_id != asked.run_id
    assert moved.spec.options["shock"] == ["z1=1", "z2=2"]
    assert escape(moved.result.summary) in page.html


def test_the_shipped_graph_is_open_and_can_be_asked(open_page) -> None:
    page = open_page("graph")
    assert "An example that ships" in page.words
    assert "not identified" in page.words
    figure = page.figure("Capabilities and direct effects")
    names = {t for trace in figure["data"] for t in trace.get("text") or ()}
    assert {"z1 · IFEval", "z2 · BBH"} <= names, "a capability is not called like a score"
    shown = [a for a in figure["layout"]["annotations"] if a.get("showarrow")]
    assert len(shown) == 3, "one graph at a time"
    menu = figure["layout"]["updatemenus"][0]["buttons"]
    assert menu[0]["label"] == "all"
    numbers = [
        t["text"][0] for t in figure["data"] if t.get("visible") and t["mode"] == "markers+text"
    ]
    assert sum("[" in words for words in numbers) == 3, "every edge with its interval"
    answer = page.run("what-if")
    assert answer.spec.graph in page.html
    assert escape(answer.result.summary) in page.html


def test_a_table_from_elsewhere_is_fitted_on_the_page(open_page, tmp_path) -> None:
    noise = np.random.default_rng(0).laplace(size=(120, 3))
    noise[:, 1] += 2 * noise[:, 0]
    frame = pd.DataFrame(noise.round(3), columns=["Größe", "precision", "c"]).assign(fest=1)
    path = tmp_path / "werte.csv"
    frame.to_csv(path, sep=";", decimal=",", index=False)
    page = open_page("graph")
    page.at.selectbox[0].set_value("pc").run()
    page.at.radio(key="table source").set_value("A file on this machine").run()
    page.at.text_input(key="table path").set_value(str(path))
    page.at.number_input(key="discovery pc option resamples").set_value(0)
    page.press("Run")
    run = page.run("pc")
    assert run.status == "complete"
    assert escape(run.result.summary) in page.html
    assert "constant columns carry no information: fest" in page.words
    assert {"separator", "decimal", "columns", "no_domains"} <= run.spec.options.keys()
