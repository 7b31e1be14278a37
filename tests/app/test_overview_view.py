"""The first page: real numbers for the prompt, one position in all views, hostile text as text."""

from html import escape

import pytest

from workbench.figures.glyphs import visible

HOSTILE = "<script>alert(1)</script> \x1b[31mred\x1b[0m \u202eevil\u202c $a$ **b** [c](d) שלום"


def test_the_first_page_shows_what_the_store_holds(open_page) -> None:
    page = open_page()
    trace = page.run("token-trace").result
    lens = page.run("logit-lens").result
    assert escape(trace.summary) in page.html
    (strip,) = page.strips
    assert strip.words == [visible(t) for t in trace.table("tokens")["token"]]
    expected = trace.table("tokens")["surprisal"][1]
    assert f"surprisal {expected:.6g} nats" in strip.said[1]
    kl = page.figure("Distance from the final answer")
    drawn = next(t for t in kl["data"] if t["name"] == "kl")
    assert drawn["y"] == pytest.approx(lens.table("layers")["kl"].tolist())
    ghosts = {t["name"] for t in kl["data"] if t["line"].get("dash") in ("dash", "dot")}
    assert ghosts == {"kl random", "kl shuffled"}


def test_a_chosen_position_is_marked_in_every_view(open_page) -> None:
    page = open_page()
    page.at.session_state["position"] = 3
    page.settle()
    table = page.run("token-trace").result.table("tokens")
    assert f"Token 3 “{table['token'][3]}”" in page.words
    for title in ("Surprise along the text", "What each layer would say next"):
        (line,) = page.figure(title)["layout"]["shapes"]
        assert line["x0"] == 3
    norms = page.run("token-trace").result.table("grid").frame.query("position == 3")["norm"]
    here = next(
        t for t in page.figure("Length of the residual stream")["data"] if t["name"] == "norm here"
    )
    assert here["y"] == pytest.approx(norms.tolist())
    page.press("Clear choice")
    assert "shapes" not in page.figure("Surprise along the text")["layout"]


def test_any_probe_with_a_grid_is_drawn_without_code_of_its_own(open_page) -> None:
    page = open_page()
    box = next(b for b in page.at.selectbox if b.label == "Probe at every token")
    assert {"smoothness", "early-exit", "ffn-saturation"} <= set(box.options)
    box.set_value("smoothness")
    page.settle()
    grid = page.run("smoothness").result.table("grid").frame
    figure = page.figure("cosine")
    drawn = figure["data"][0]["z"]
    assert len(drawn) == grid["layer"].nunique()
    assert drawn[1][1] == pytest.approx(
        grid.query("layer == 1 and position == 1")["cosine"].iloc[0]
    )
    assert len(page.strips) == 2


def test_another_text_is_looked_at_when_asked_for(open_page) -> None:
    page = open_page()
    page.at.text_area[0].set_value("a king saw the blue bird")
    page.press("Look inside")
    assert page.strips[0].words == ["a", "king", "saw", "the", "blue", "bird"]
    assert len(page.store.find(name="token-trace")) == 2


def test_an_empty_text_is_refused_with_words(open_page) -> None:
    page = open_page()
    page.at.text_area[0].set_value("   ")
    page.at.button[0].click().run()
    assert "empty" in page.at.warning[0].value
    assert not page.at.exception


def test_hostile_text_is_shown_and_never_obeyed(open_page) -> None:
    page = open_page(prompt=HOSTILE)
    everything = page.words
    assert "<script" not in everything
    assert "\x1b" not in everything
    assert "\u202e" not in everything
    for strip in page.strips:
        assert strip.tags <= {"div", "span", "bdi", "b", "i", "wbr", "br"}
    assert page.at.text_area[0].value == HOSTILE


def test_recent_runs_link_to_their_pages(open_page) -> None:
    page = open_page()
    ids = set(page.store.find()["run_id"])
    linked = {e.proto.query_string for e in page.at.get("page_link")}
    assert all(any(run_id in query for query in linked) for run_id in ids)


def test_a_model_that_does_not_exist_is_explained(open_page) -> None:
    page = open_page(model="no/such-model")
    page.settle()
    assert "no/such-model" in page.html
    assert "Try:" in page.html
