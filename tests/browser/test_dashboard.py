"""One visit in a real browser: what is read from the page is what the store holds."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.panels.result_panel import estimate_table
from tests.browser.conftest import map_when_ready
from workbench.figures.glyphs import visible
from workbench.runs.run import Run
from workbench.runs.store import Store

pytestmark = pytest.mark.browser

PATIENCE = 180_000
HOSTILE = "<script>window.hit=1</script><img src=x onerror=window.hit=1> \u202eevil $a$ **b**"
WIDTHS = (1440, 900, 390)

Visit = Callable[..., Any]


def latest(store: Store, name: str) -> Run:
    deadline = time.monotonic() + PATIENCE / 1000
    while not len(found := store.find(name=name)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return store.get(found.rows()[0]["run_id"])


def test_isotropy_from_the_form_shows_the_numbers_of_the_store(
    visit: Visit, store_folder: Path, tmp_path: Path
) -> None:
    page = visit("probe")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Whole run as JSON").wait_for()
    run = latest(Store(store_folder), "isotropy")
    assert run.result is not None
    assert run.result.summary in page.inner_text("body")
    assert run.run_id in page.inner_text("body")

    with page.expect_download() as download:
        page.get_by_role("button", name="Whole run as JSON").click()
    taken = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    assert taken == json.loads(json.dumps(run.as_dict()))

    drawn = page.evaluate(
        """() => [...document.querySelectorAll('.js-plotly-plot')].flatMap(
             f => f.data.map(t => [t.name, Array.from(t.y ?? [])]))"""
    )
    layers = run.result.table("layers")
    (shown,) = [y for name, y in drawn if name == "mean cosine"]
    assert shown == pytest.approx(layers["mean_cosine"].tolist())

    with page.expect_download() as download:
        page.get_by_test_id("stDownloadButton").filter(has_text="CSV").first.click()
    rows = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + len(estimate_table(run.result))


def test_a_reload_finds_the_run_again(visit: Visit, store_folder: Path) -> None:
    page = visit("probe")
    page.get_by_text("Whole run as JSON").wait_for()
    run = latest(Store(store_folder), "isotropy")
    page.goto(page.url.split("?")[0] + f"?model=tiny:llama&run={run.run_id}")
    page.get_by_text("Whole run as JSON").wait_for()
    assert run.run_id in page.inner_text("body")


def test_a_token_chosen_with_the_keys_is_marked_everywhere(
    visit: Visit, store_folder: Path
) -> None:
    page = visit()
    tokens = page.locator(".wb-t")
    tokens.first.wait_for()
    page.get_by_text("Click a cell").wait_for()
    tokens.nth(1).click()
    page.get_by_text("Token 1 “cat” came with").wait_for()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.get_by_text("Token 3 “.” came with").wait_for()
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length >= 4")
    table = latest(Store(store_folder), "token-trace").result.table("tokens")  # type: ignore[union-attr]
    assert tokens.all_inner_texts() == [visible(t) for t in table["token"]]
    value = table["surprisal"][3]
    assert f"{value:.6g}" in (tokens.nth(3).get_attribute("title") or "")


def test_a_clicked_cell_opens_and_stays_open_after_a_reload(visit: Visit) -> None:
    page = visit()
    area = map_when_ready(page)
    area.click()
    close = page.get_by_role("button", name="Close", exact=True)
    close.wait_for()
    page.wait_for_function("location.search.includes('layer=')")
    page.reload()
    close.wait_for()
    assert page.locator('[data-testid="stException"]').count() == 0


def test_hostile_text_is_text(visit: Visit) -> None:
    page = visit(prompt=HOSTILE)
    page.locator(".wb-t").first.wait_for()
    page.get_by_text("Click a cell").wait_for()
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits(visit: Visit, width: int, scheme: str, tmp_path: Path) -> None:
    """Screenshots land in the test's folder; nothing scrolls sideways, nothing says traceback."""
    page = visit(width=width, scheme=scheme)
    page.locator(".wb-t").first.wait_for()
    home = page.url.split("?")[0]
    for name in ("", "model", "probe", "reason", "questions", "concepts", "graph", "runs", "help"):
        page.goto(f"{home}{name}?model=tiny:llama")
        page.locator("h2").first.wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)
        main = "document.querySelector('[data-testid=stMain]')"
        assert page.evaluate(f"{main}.scrollWidth <= {main}.clientWidth + 1"), name
        assert "Traceback" not in page.inner_text("body")
        assert page.locator('[data-testid="stException"]').count() == 0


def test_a_map_scrolls_sideways_on_a_phone(visit: Visit) -> None:
    page = visit(width=390)
    page.get_by_text("Click a cell").wait_for()
    place = page.locator('[class*="st-key-wide"]').first
    wide = place.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide[0] > 600 > wide[1]
