"""The first page: real numbers for the prompt, one position in all views, hostile text as text."""

from html import escape

import pytest

from app.panels.model_loading import LOADER
from tests.app.conftest import TEXT
from workbench.figures.glyphs import visible
from workbench.runs.spec import ModelRef

HOSTILE = "<script>alert(1)</script> \x1b[31mred\x1b[0m \u202eevil\u202c $a$ **b** [c](d) שלום"


def test_the_first_page_shows_what_the_store_holds_and_refuses_an_empty_text(open_page) -> None:
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
    ids = [row["run_id"] for row in page.store.find().rows()][:8]
    linked = {e.proto.query_string for e in page.at.get("page_link")}
    assert ids
    assert all(any(run_id in query for query in linked) for run_id in ids)
    page.at.text_area[0].set_value("   ")
    page.at.button[0].click().run()
    assert "empty" in page.at.warning[0].value
    assert not page.at.exception


def test_a_chosen_position_is_marked_in_every_view(open_page) -> None:
    page = open_page()
    page.at.session_state["position"] = 3
    page.settle()
    table = page.run("token-trace").result.table("tokens")
    assert f"Token 3 “{table['token'][3]}”" in page.words
    for title, start in (("Surprise along the text", 3), ("logit-lens kl", 2.5)):
        (line,) = page.figure(title)["layout"]["shapes"]
        assert line["x0"] == start
    for title, name, column in (
        ("Length of the residual stream", "token-trace", "norm"),
        ("Distance from the final answer", "logit-lens", "kl"),
    ):
        there = page.run(name).result.table("grid").frame.query("position == 3")[column]
        drawn = next(t for t in page.figure(title)["data"] if t["name"] == "here")
        assert drawn["y"] == pytest.approx(there.tolist())
    page.press("Clear choice")
    assert "shapes" not in page.figure("Surprise along the text")["layout"]


def test_every_quick_method_is_a_layer_of_one_map(open_page) -> None:
    page = open_page()
    box = next(b for b in page.at.selectbox if b.label == "Layers and tokens coloured by")
    methods = {name.split(" ")[0] for name in box.options}
    assert {"logit-lens", "token-trace", "smoothness", "early-exit", "ffn-saturation"} <= methods
    box.set_value("smoothness cosine")
    page.settle()
    grid = page.run("smoothness").result.table("grid").frame
    drawn = page.figure("smoothness cosine")["data"][0]
    cell = grid.query("layer == 1 and position == 1")["cosine"].iloc[0]
    assert drawn["z"][list(drawn["y"]).index(1)][1] == pytest.approx(cell)
    strips = next(b for b in page.at.selectbox if b.label == "Tokens coloured by")
    strips.set_value("early-exit exit_depth")
    page.settle()
    (strip,) = page.strips
    depth = page.run("early-exit").result.table("tokens")["exit_depth"]
    assert f"early-exit exit depth {depth[1]:.6g}" in strip.said[1]


def test_a_chosen_cell_opens_what_is_known_of_it(open_page) -> None:
    page = open_page(position="3", layer="1")
    token = page.run("token-trace").result.table("tokens")["token"][3]
    assert f"Layer 1, token 3 “{visible(token)}”" in page.words
    grid = page.run("token-trace").result.table("grid").frame
    cell = grid.query("layer == 1 and position == 3").iloc[0]
    known = next(t.value for t in page.at.dataframe if "control_is" in t.value)
    row = known[known["metric"] == "token-trace norm"].iloc[0]
    assert (row["value"], row["control"]) == pytest.approx((cell["norm"], cell["norm_shuffled"]))
    frame = page.figure("logit-lens kl")["layout"]["shapes"][1]
    assert (frame["x0"], frame["y0"]) == (2.5, 0.5)
    page.press("Close")
    assert "Layer 1" not in page.words


def test_the_address_keeps_what_is_shown_and_says_what_it_does_not_know(open_page) -> None:
    query = {"position": "3", "layer": "1", "map": "smoothness cosine", "strip": "nonsense"}
    page = open_page(**query)
    assert page.figure("smoothness cosine")
    assert "strip 'nonsense' is none of" in page.words
    found = {name: page.at.query_params[name] for name in ("prompt", "position", "map")}
    assert found == {"prompt": TEXT, "position": "3", "map": "smoothness cosine"}
    page.at.text_area[0].set_value("a king saw the blue bird")
    page.press("Look inside")
    assert page.at.query_params["prompt"] == "a king saw the blue bird"
    assert "position" not in page.at.query_params


def test_a_change_shows_both_answers_and_stays_in_the_address(open_page) -> None:
    page = open_page(layer="1", position="3")
    page.press("Ablate this block")
    page.press("Write before and after")
    found = page.run("edit-effect").result
    assert escape(found.summary) in page.html
    assert page.at.query_params["edit"] == "ablate:mlp_out.1"
    steps = found.table("steps").frame
    before, after = page.strips[-2:]
    assert before.words == [visible(t) for t in steps["before"] if t]
    assert after.words == [visible(t) for t in steps["after"] if t]
    drawn = page.figure("moved")["data"][0]
    grid = found.table("grid").frame.query("layer == 1 and position == 2")["moved"].iloc[0]
    assert drawn["z"][1][2] == pytest.approx(grid)
    page.press("Take the change back")
    assert "edit" not in page.at.query_params


def test_another_text_and_another_layer_stand_beside_it(open_page) -> None:
    other = "the cat sat . the blue dog ran to paris"
    page = open_page(beside=other, beside_layer="0", beside_model="")
    titles = [f["layout"]["title"]["text"] for f in page.figures]
    assert titles.count("logit-lens kl") == 4, "the page, both sides, the difference"
    assert "logit-lens kl, two layers" in titles
    assert "blue" in page.strips[-1].words
    assert {page.at.query_params[n] for n in ("beside", "beside_layer")} == {other, "0"}


def test_what_the_address_cannot_have_is_said_and_its_edit_is_not_run(open_page) -> None:
    page = open_page(position="third", beside_layer="99", edit="ablate:mlp_out.0")
    assert "position 'third' is no whole number" in page.words
    assert "is not on this map" in page.words
    assert "was not run on this text yet" in page.words
    assert not len(page.store.find(name="edit-effect"))


def test_a_dear_method_waits_for_its_button_and_joins_the_map(open_page) -> None:
    page = open_page()
    names = next(b for b in page.at.selectbox if b.label == "Layers and tokens coloured by").options
    assert "ffn-saturation saturation" in names
    assert not any("kl_alone" in name for name in names)
    assert not len(page.store.find(name="rotary-bands"))
    page.at.session_state["slower"] = True
    page.settle()
    next(b for b in page.at.button if b.key == "add ffn-saturation").click().run()
    page.settle()
    names = next(b for b in page.at.selectbox if b.label == "Layers and tokens coloured by").options
    assert "ffn-saturation kl_alone" in names


def test_another_text_is_looked_at_when_asked_for(open_page) -> None:
    page = open_page()
    page.at.text_area[0].set_value("a king saw the blue bird")
    page.press("Look inside")
    assert page.strips[0].words == ["a", "king", "saw", "the", "blue", "bird"]
    assert len(page.store.find(name="token-trace")) == 2
    assert "Only the first" not in page.words
    page.at.text_area[0].set_value("a king saw the bird " * 20)
    page.press("Look inside")
    assert len(page.strips[0].words) == 64
    assert "Only the first 64 tokens of this text are read." in page.words


def test_hostile_text_is_shown_and_never_obeyed(open_page) -> None:
    page = open_page(prompt=HOSTILE)
    everything = page.words
    assert "<script" not in everything
    assert "\x1b" not in everything
    assert "\u202e" not in everything
    for strip in page.strips:
        assert strip.tags <= {"div", "span", "bdi", "b", "i", "wbr", "br"}
    assert page.at.text_area[0].value == HOSTILE


def test_a_model_that_does_not_exist_is_explained(open_page) -> None:
    LOADER.model(ModelRef(name="no/such-model")).finished.wait(60)
    page = open_page(model="no/such-model")
    assert "no/such-model" in page.html
    assert "Try:" in page.html
