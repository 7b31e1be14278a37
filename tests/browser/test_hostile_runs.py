"""Runs whose every word was chosen by an enemy, opened in a real browser: words stay words."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workbench.result.estimate import Estimate
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Curve, GraphView, Heatmap, Points, TokenStrip
from workbench.runs.execute import execute
from workbench.runs.run import Failure
from workbench.runs.spec import DataRef, ModelRef, RunSpec
from workbench.runs.store import Store

pytestmark = pytest.mark.browser

# What breaks out of an element, an attribute, a script, a template, Markdown and a hover text.
HIT = "window.hit=(window.hit||0)+1"
WORDS = (
    f"<script>{HIT}</script>",
    f"<img src=x onerror={HIT}>",
    # Without a blank, which a token strip would show as a dot.
    f"<img/src='x'/onerror='{HIT}'>",
    f'"><svg onload={HIT}>',
    f"'-{HIT}-'",
    f"</script><script>{HIT}</script>",
    f"[link](javascript:{HIT})",
    f'<a href="javascript:{HIT}">x</a>',
    f"<iframe srcdoc='<script>parent.{HIT}</script>'></iframe>",
    "\x1b[31mred\x1b[0m \u202eevil\u202c \x00 $x$ **b** `c` %{x} {y} ../../etc",
)
# Components draw into shadow roots, which a query of the document does not look into.
MADE = """() => {
  const made = root => [...root.querySelectorAll('*')].reduce(
    (n, e) => n + (e.shadowRoot ? made(e.shadowRoot) : 0),
    root.querySelectorAll(
      'img[src=x], svg[onload], iframe[srcdoc], a[href^="javascript:"]').length
      + [...root.querySelectorAll('script')].filter(
        e => e.textContent.startsWith('window.hit')).length)
  return made(document)
}"""

Visit = Callable[..., Any]


def spec(name: str, **more: Any) -> RunSpec:
    data = DataRef(texts=tuple(f"the cat {word} sat ." for word in WORDS))
    given = {"model": ModelRef(name="tiny:llama", device="cpu"), "data": data, "resamples": 20}
    return RunSpec(name=name, **(given | more))


def forged() -> Result:
    """A result with every kind of view; all of its words, names of columns too, are hostile."""
    rows = [
        {"x": i, WORDS[0]: word, "label": word, "to": WORDS[i - 1], "y": i / 7, "low": i / 8,
         "high": i / 6}
        for i, word in enumerate(WORDS)
    ]  # fmt: skip
    columns = {
        "y": Column(unit=WORDS[1], help=WORDS[2], low="low", high="high"),
        "label": Column(unit="", help=WORDS[0]),
    }
    table = Table.from_rows(rows, columns)
    return Result(
        summary=" ".join(WORDS),
        estimates=tuple(
            Estimate(name=word, value=0.5, unit=word, n=3, n_unit=word, method=word, note=word,
                     control=0.1, control_name=word)
            for word in WORDS
        ),
        tables={"rows": table, "nodes": Table.from_rows([{"name": word} for word in WORDS], {})},
        notes=tuple(Note(word, level="warning", code="x") for word in WORDS),
        views=(
            Curve(title=WORDS[0], table="rows", x="x", y=("y",), group="label"),
            Bars(title=WORDS[1], table="rows", x="label", y="y"),
            Points(title=WORDS[2], table="rows", x="x", y="y", label="label", color="label"),
            Heatmap(title=WORDS[3], table="rows", row="label", column="to", value="y", text="to"),
            TokenStrip(title=WORDS[4], table="rows", token="label", color="y", badge="to"),
            GraphView(title=WORDS[5], nodes="nodes", edges="rows", cause="label", effect="to",
                      weight="y"),
        ),
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(store_folder: Path) -> dict[str, str]:
    """Fill the store with real runs on hostile texts, a forged one and a failed one."""
    store = Store(store_folder)
    labelled = store_folder.parent / "rows.jsonl"
    rows = [{"text": f"the cat {i} sat", "label": WORDS[1 + i % 2]} for i in range(24)]
    labelled.write_text("\n".join(map(json.dumps, rows)))
    asked_of = store_folder.parent / "questions.jsonl"
    problems = [{"question": word, "answer": f"{word} #### 7"} for word in WORDS]
    asked_of.write_text("\n".join(map(json.dumps, problems)))
    task = DataRef(task=f"gsm8k:{asked_of}", limit=len(WORDS))
    asked = {
        "token-trace": spec("token-trace"),
        "logit-lens": spec("logit-lens"),
        "isotropy": spec("isotropy"),
        "attention-pattern": spec("attention-pattern"),
        "decoders": spec("decoders", options={"new_tokens": 4}),
        "linear": spec("linear", data=DataRef(path=str(labelled), label="label")),
        "cot": spec("cot", kind="reasoner", options={"tokens": 4}, data=task),
    }
    made = {name: execute(one, store=store) for name, one in asked.items()}
    broken = {name: run.failure for name, run in made.items() if run.result is None}
    assert not broken
    enemy = replace(made["isotropy"].spec, seed=11)
    store.put(replace(made["isotropy"], spec=enemy, result=forged()))
    failed = replace(made["isotropy"].spec, seed=12)
    why = Failure(code="x", message=" ".join(WORDS), hint=" ".join(WORDS))
    store.put(replace(made["isotropy"], spec=failed, result=None, failure=why, status="failed"))
    return {n: r.run_id for n, r in made.items()} | {
        "forged": enemy.run_id,
        "failed": failed.run_id,
    }


def assert_harmless(page: Any) -> None:
    assert page.evaluate("window.hit") is None
    for frame in page.frames:
        assert frame.evaluate("window.hit") is None
        assert frame.evaluate(MADE) == 0
    assert "Traceback" not in page.inner_text("body")
    assert page.locator('[data-testid="stException"]').count() == 0


def test_every_run_is_shown_as_words(visit: Visit, runs: dict[str, str]) -> None:
    page = visit("runs")
    for name, run_id in runs.items():
        page.goto(f"{page.url.split('?')[0]}?model=tiny:llama&run={run_id}")
        page.get_by_role("heading", name=run_id).wait_for()
        page.wait_for_timeout(3000)
        assert_harmless(page)
        if name in ("forged", "failed"):
            assert "<script>" in page.inner_text("body"), name


def test_every_tab_and_expander_of_a_forged_run_is_words(
    visit: Visit, runs: dict[str, str], tmp_path: Path
) -> None:
    page = visit("runs")
    page.goto(f"{page.url.split('?')[0]}?model=tiny:llama&run={runs['forged']}")
    page.get_by_text("Whole run as JSON").wait_for()
    for part in page.locator("[data-testid=stExpander] summary, [role=tab]").all():
        part.evaluate("element => element.click()")
        page.wait_for_timeout(400)
    page.wait_for_timeout(1500)
    page.screenshot(path=tmp_path / "forged.png", full_page=True)
    assert_harmless(page)


def test_a_chain_of_hostile_words_is_words(visit: Visit, runs: dict[str, str]) -> None:
    page = visit("reason")
    page.goto(f"{page.url.split('?')[0]}?model=tiny:llama&run={runs['cot']}")
    page.locator("h2").first.wait_for()
    page.wait_for_timeout(4000)
    assert_harmless(page)


def test_a_model_and_a_run_named_by_an_enemy_are_refused_in_words(visit: Visit) -> None:
    page = visit("runs")
    address = page.url.split("?")[0]
    for query in (
        f"model={WORDS[1]}",
        f"model=tiny:llama&run={WORDS[0]}",
        "model=tiny:llama&run=../../../../etc/passwd",
        "model=../../../../etc/passwd",
    ):
        page.goto(f"{address}?{query.replace('+', '%2B')}")
        page.locator("h2").first.wait_for()
        page.wait_for_timeout(2500)
        assert_harmless(page)
        assert "root:" not in page.inner_text("body")
