"""The Cause page in a real browser: fit the shipped table, read, ask, take the graph away."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.result.graph_files import write_graph
from workbench.runs.run import Run
from workbench.runs.store import Store

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]


def test_fit_verdict_slider_and_export(visit: Visit, store_folder: Path) -> None:
    page = visit("graph")
    page.get_by_text("An example that ships").wait_for()
    page.get_by_text("Fit a graph to other scores").click()
    page.get_by_text("Options (").click()
    page.get_by_role("spinbutton", name="Resamples").fill("100")
    page.get_by_role("spinbutton", name="Resamples").press("Enter")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("An example that ships").wait_for(state="detached")
    page.get_by_text("The causal order is not identified by these data.").wait_for()
    fitted = newest(Store(store_folder), "hierarchical")
    assert fitted.result is not None
    assert fitted.result.graph is not None
    assert fitted.result.graph.identified is False
    page.get_by_text("max-inexactness").first.wait_for()
    assert fitted.result.summary in page.inner_text("body")

    with page.expect_download() as download:
        page.get_by_role("button", name="GraphML").click()
    taken = Path(download.value.path()).read_text(encoding="utf-8")
    assert taken == write_graph(fitted.result.graph, "graphml")

    first = newest(Store(store_folder), "what-if", graph=fitted.run_id)
    assert first.result is not None
    page.get_by_text(first.result.summary).first.wait_for()
    page.get_by_role("slider").nth(1).focus()
    page.keyboard.press("ArrowRight")
    moved = newest(Store(store_folder), "what-if", graph=fitted.run_id, other_than=first.run_id)
    assert moved.spec.options["shock"] == ["z1=1", "z2=0.5"]
    assert moved.result is not None
    page.get_by_text(moved.result.summary).first.wait_for()
    assert page.locator('[data-testid="stException"]').count() == 0


def newest(store: Store, name: str, *, graph: str = "", other_than: str = "") -> Run:
    """Wait until the store holds a finished run of that name, of that graph, and return it."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        for row in store.find(name=name, status="complete").rows():
            run = store.get(row["run_id"])
            if run.run_id != other_than and graph in ("", run.spec.graph):
                return run
        time.sleep(0.3)
    pytest.fail(f"no finished run of {name}")
