"""A sentence-lens run in a real browser: read a cell, then see its controls by one choice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from probes.sentences.grid import ACTUAL, RANDOM, SWAPPED
from reasoning.train_sentence_codec import TrainSentenceCodec
from workbench.methods.contracts import Context
from workbench.model.tiny import tiny_model
from workbench.runs.execute import execute
from workbench.runs.run import Run
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]
TEXT = "the dog and the cat. it was red , he said. the king and the queen"


@pytest.fixture
def run(store_folder: Path) -> Run:
    folder = store_folder.parent / "codec"
    recipe = TrainSentenceCodec(preset="tiny", steps=3, tasks=("prosqa?classes=6&hops=2",))
    recipe.train(tiny_model("llama"), [], context=Context(scratch=folder, resume=False))
    spec = RunSpec(
        name="sentence-lens",
        options={"codec": str(folder), "sentences": 3, "every": 1, "limit": 6},
        model=ModelRef(name="tiny:llama"),
        data=DataRef(texts=(TEXT, *(f"the dog {i} . the cat {i} ." for i in range(16)))),
        resamples=50,
    )
    return execute(spec, store=Store(store_folder))


def test_the_grid_shows_states_and_its_controls_by_one_choice(visit: Visit, run: Run) -> None:
    assert run.result is not None
    grid = run.result.tables["grid"].frame
    page = visit("probe")
    page.goto(page.url.split("?")[0] + f"?model=tiny:llama&run={run.run_id}")
    figure = page.locator(".js-plotly-plot").first
    figure.locator(".updatemenu-header").wait_for()
    assert _shown(figure) == _written(grid, f"raw: {ACTUAL}")
    readings = [f"{w}: {k}" for w in ("raw", "normed", "tuned") for k in (ACTUAL, RANDOM, SWAPPED)]
    for reading in (readings[1], readings[6]):
        figure.locator(".updatemenu-header").click()
        names = figure.locator(".updatemenu-dropdown-button")
        assert names.all_text_contents() == readings
        names.filter(has_text=reading).click()
        assert _shown(figure) == _written(grid, reading)
    page.get_by_text("fluent sentence from any vector").first.wait_for()
    assert page.locator('[data-testid="stException"]').count() == 0


def _shown(figure: Any) -> list[float]:
    """Return the numbers of the matrix that is visible now."""
    rows = figure.evaluate("f => f.data.filter(t => t.visible === true).map(t => t.z)")
    assert len(rows) == 1
    return [round(float(value), 5) for row in rows[0] for value in row]


def _written(grid: Any, reading: str) -> list[float]:
    some = grid[grid["reading"] == reading]
    places = list(dict.fromkeys(some["place"]))
    layers = list(dict.fromkeys(some["layer"]))
    cells = {(r.place, r.layer): r.logprob for r in some.itertuples()}
    return [round(float(cells[place, layer]), 5) for place in places for layer in layers]
