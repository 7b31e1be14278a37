"""The Prompt page in a real browser: point at a cell, change the model there, come back."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import map_when_ready

pytestmark = pytest.mark.browser

HOSTILE = "ablate:<img src=x onerror=window.hit=1>"


def test_an_edit_at_a_chosen_cell_is_compared_and_survives_a_reload(
    visit: Callable[..., Any],
) -> None:
    page = visit()
    area = map_when_ready(page)
    area.hover()
    page.locator(".hoverlayer .hovertext").first.wait_for()
    area.click()
    page.wait_for_function("location.search.includes('layer=')")
    second = visit()
    page.get_by_role("button", name="Ablate this block").click()
    page.get_by_role("button", name="Write before and after").click()
    page.get_by_text("orange underline marks").wait_for()
    page.wait_for_function("location.search.includes('edit=')")
    answer = page.get_by_text("ablate:mlp_out").first.inner_text()
    page.reload()
    page.get_by_text("orange underline marks").wait_for()
    assert page.get_by_text("ablate:mlp_out").first.inner_text() == answer
    assert "edit=" not in second.url
    assert page.locator('[data-testid="stException"]').count() == 0


def test_a_hostile_edit_in_the_address_is_text_and_is_not_run(visit: Callable[..., Any]) -> None:
    page = visit()
    page.goto(f"{page.url}&edit={HOSTILE}&beside_layer={HOSTILE}&beside_model={HOSTILE}")
    page.get_by_text("was not run on this text yet").wait_for()
    assert page.evaluate("window.hit") is None
    assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0
