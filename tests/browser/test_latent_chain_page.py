"""The Reason page thinks on a real prompt with the gates that ship, and shows what it kept."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.figures.glyphs import visible
from workbench.runs.run import Run
from workbench.runs.store import Store

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]


@pytest.mark.parametrize(
    ("model", "prompt", "intervention"),
    [
        ("hybrid-sums", "25+5+18=", "closed"),
        ("hybrid-sums", "30+28+19=", "without-drawn"),
        pytest.param("default", "25+5+18=", "closed", marks=pytest.mark.slow),
    ],
)
def test_a_chain_and_what_one_intervention_makes_of_it(
    visit: Visit, store_folder: Path, model: str, prompt: str, intervention: str
) -> None:
    page = _inside(visit, model)
    page.get_by_role("textbox", name="Prompt").fill(prompt)
    page.keyboard.press("Enter")
    _choose(page, "Write the chain again with", intervention)
    run = _think(page, store_folder)
    chain, written = _kept(run, "steps"), _kept(run, "rewritten", intervention)
    assert run.spec.data.texts == (prompt,)
    assert run.spec.model is not None
    assert run.spec.model.name == model
    assert written != chain
    assert page.locator(".wb-t").all_inner_texts() == chain + written

    _choose(page, "Intervention", "unchanged")
    page.get_by_text("intervention unchanged").wait_for()
    assert page.locator(".wb-t").all_inner_texts() == chain + chain
    assert run.result is not None
    assert run.result.summary in page.inner_text("body")
    assert page.locator('[data-testid="stException"]').count() == 0


def test_a_method_without_a_gate_offers_what_it_can_change(
    visit: Visit, store_folder: Path
) -> None:
    page = _inside(visit, "hybrid-sums")
    _choose(page, "Method", "soft-thinking")
    _prompt_left(page, "25+5+18=")
    page.get_by_role("textbox", name="Prompt").fill("30+28+19=")
    page.keyboard.press("Enter")
    _open(page, "Write the chain again with")
    offered = [text.split(" ")[0] for text in page.get_by_role("option").all_inner_texts()]
    assert offered == ["tokens", "answer-now"]
    page.get_by_role("option", name="answer-now").click()
    step = page.get_by_label("At step").and_(page.get_by_role("spinbutton"))
    step.fill("4")
    step.press("Enter")
    run = _think(page, store_folder)
    assert run.spec.options["method"] == "soft-thinking"
    assert run.spec.options["step"] == 4
    chain, written = _kept(run, "steps"), _kept(run, "rewritten", "answer-now")
    assert written[:4] == chain[:4]
    assert written != chain
    assert page.locator(".wb-t").all_inner_texts() == chain + written


def _inside(visit: Visit, model: str) -> Any:
    page = visit("reason")
    page.goto(page.url.split("?")[0] + f"?model={model}")
    page.get_by_text("Inside one latent chain").click()
    page.get_by_role("button", name="Think").wait_for()
    return page


def _prompt_left(page: Any, before: str) -> None:
    from playwright.sync_api import expect

    expect(page.get_by_role("textbox", name="Prompt")).not_to_have_value(before, timeout=60_000)


def _open(page: Any, label: str) -> None:
    page.get_by_role("combobox", name=re.compile(rf"\b{label}$")).click()


def _choose(page: Any, label: str, name: str) -> None:
    _open(page, label)
    page.get_by_role("option", name=re.compile(rf"^{name}\b(?!-)")).click()


def _think(page: Any, store_folder: Path) -> Run:
    """Press Think and return the stored run once the page shows it."""
    page.get_by_role("button", name="Think").click()
    page.wait_for_url(re.compile(r"run=hybrid-trace-"))
    run_id = page.url.split("run=")[1]
    page.get_by_text(run_id).first.wait_for()
    page.get_by_text("written again with one thing changed").first.wait_for()
    return Store(store_folder).get(run_id)


def _kept(run: Run, table: str, intervention: str = "") -> list[str]:
    assert run.result is not None
    frame = run.result.tables[table].frame
    if intervention:
        frame = frame[frame["intervention"] == intervention]
    return [visible(token) for token in frame["token"]]
