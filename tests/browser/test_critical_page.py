"""A stored critical-token run in a real browser: choose a token, read what was drawn there."""

import csv
import io
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


@pytest.fixture
def run(store_folder: Path) -> Run:
    options = {"draws": 8, "samples": 2, "new_tokens": 8, "mode": "exhaustive"}
    spec = RunSpec(
        name="critical-tokens",
        options=options,
        model=ModelRef(name="tiny:llama"),
        data=DataRef(task="gsm8k", limit=2),
        resamples=50,
    )
    return execute(spec, store=Store(store_folder))


def test_branches_of_a_chosen_token(visit: Visit, run: Run) -> None:
    assert run.result is not None
    tokens, branches = (run.result.tables[name].frame for name in ("tokens", "branches"))
    page = visit("probe")
    page.goto(page.url.split("?")[0] + f"?model=tiny:llama&run={run.run_id}")
    strip = page.locator(".wb-t")
    strip.first.wait_for()
    first = tokens[tokens["trajectory"] == 0]
    assert strip.all_inner_texts() == [visible(token) for token in first["token"]]
    badge = first.loc[first["badge"] != "", "badge"].tolist()
    assert page.locator(".wb-bd").all_inner_texts() == badge

    page.get_by_text("Click a token to see its branches.").wait_for()
    strip.nth(2).click()
    page.get_by_text("Branches at token 3").wait_for()
    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").filter(has_text="CSV").first.click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    shown = list(csv.DictReader(io.StringIO(text)))
    stored = branches[(branches["trajectory"] == 0) & (branches["position"] == 3)]
    assert [int(row["draws"]) for row in shown] == stored["draws"].tolist()
    assert [row["alternative"] for row in shown] == stored["alternative"].tolist()
    assert sum(int(row["draws"]) for row in shown) >= 8
    assert page.locator(".wb-said").inner_text().startswith("3  ")
    assert page.locator('[data-testid="stException"]').count() == 0
