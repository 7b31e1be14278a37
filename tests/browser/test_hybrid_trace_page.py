"""A hybrid chain in a real browser: what a closed gate writes instead, and a token's mixture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.figures.glyphs import visible
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
TEXT = "the king saw a dog in paris . 1 + 2 ="


@pytest.fixture
def run(store_folder: Path) -> Run:
    spec = RunSpec(
        name="hybrid-trace",
        options={"untrained": True, "r_min": 0.05, "tokens": 12, "interventions": "closed,noise"},
        model=ModelRef(name="tiny:llama"),
        data=DataRef(texts=(TEXT,)),
        resamples=50,
    )
    return execute(spec, store=Store(store_folder))


def test_a_chain_its_mixtures_and_an_intervention(visit: Visit, run: Run) -> None:
    assert run.result is not None
    steps, mixtures, rewritten = (
        run.result.tables[name].frame for name in ("steps", "mixtures", "rewritten")
    )
    page = visit("probe")
    page.goto(page.url.split("?")[0] + f"?model=tiny:llama&run={run.run_id}")
    page.locator(".wb-t").first.wait_for()
    page.get_by_text("written again with one thing changed").first.wait_for()
    words = page.locator(".wb-t").all_inner_texts()
    chain = [visible(token) for token in steps["token"]]
    assert words[: len(chain)] == chain
    written = _written(rewritten, "closed")
    assert words[len(chain) :] == written
    assert written != chain
    page.locator(".wb-t").nth(2).click()
    first = mixtures[mixtures["step"] == 2]
    assert len(first) > 1
    page.get_by_text("Mixtures at token").first.wait_for()
    assert page.locator('[data-testid="stException"]').count() == 0


def _written(rewritten: Any, intervention: str) -> list[str]:
    some = rewritten[rewritten["intervention"] == intervention]
    return [visible(token) for token in some["token"]]
