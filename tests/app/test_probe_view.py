"""The probe page: the form is the options, the page shows the stored numbers."""

import shlex
from html import escape
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.main import cli
from app.panels.data_form import parts_of, shipped_files
from app.panels.result_panel import estimate_table
from workbench.methods.registry import find, plugins
from workbench.runs.spec import RunSpec


def choose(page, name: str):
    (box,) = [b for b in page.at.selectbox if b.label == "Probe"]
    box.set_value(name)
    return page.settle()


def test_running_isotropy_shows_the_numbers_of_the_store(open_page) -> None:
    page = open_page("probe")
    assert "was not run here yet" in page.words
    page.press("Run")
    run = page.run("isotropy")
    assert run.status == "complete"
    assert escape(run.result.summary) in page.html
    shown = {tuple(d.value.columns): d.value for d in page.at.dataframe}
    layers = run.result.table("layers").frame
    table = shown[tuple(layers.columns)]
    assert table["mean_cosine"].tolist() == layers["mean_cosine"].tolist()
    estimates = estimate_table(run.result).frame
    assert shown[tuple(estimates.columns)].equals(estimates)
    assert run.run_id in page.html
    assert len(page.figures) == 1, "one leading figure, the rest folded"
    page.at.session_state[f"{run.run_id} more figures"] = True
    page.settle()
    assert len(page.figures) + len(page.strips) == len(run.result.views)


def test_the_form_holds_every_option_of_every_probe(open_page) -> None:
    page = open_page("probe")
    for plugin in plugins("probe"):
        choose(page, plugin.name)
        keys = " ".join(str(w.key) for w in _widgets(page.at))
        for info in plugin.options:
            assert f"probe {plugin.name} option {info.name}" in keys


def test_a_probe_that_does_not_exist_is_said_until_another_is_chosen(open_page) -> None:
    page = open_page("probe", probe="nonsense")
    assert "no probe 'nonsense'" in page.words
    choose(page, "smoothness")
    assert "nonsense" not in page.words
    assert page.at.query_params["probe"] == "smoothness"


@pytest.mark.parametrize(
    ("unit", "texts"),
    [
        ("a paragraph", ("one\ntwo", "three")),
        ("a line", ("one", "two", "three")),
        ("all of it", ("one\ntwo\n\nthree",)),
    ],
)
def test_what_was_typed_becomes_texts(unit: str, texts: tuple[str, ...]) -> None:
    assert parts_of("\none\r\ntwo\n\nthree\n", unit) == texts


def test_licences_are_not_offered_as_data() -> None:
    found = shipped_files()
    assert "prompts.jsonl" in found
    assert not [name for name in found if "LICENSE" in name or name == "plugins.json"]


def test_options_reach_the_run(open_page) -> None:
    page = choose(open_page("probe"), "token-trace")
    page.at.selectbox(key="probe token-trace option site").set_value("mlp_out")
    page.at.number_input(key="probe token-trace option shown").set_value(3)
    page.at.radio[0].set_value("My own text").run()
    page.at.text_area(key="probe token-trace text").set_value("the cat\n\nthe dog ran")
    page.settle()
    page.press("Run")
    run = page.run("token-trace")
    assert run.spec.options["site"] == "mlp_out"
    assert run.spec.options["shown"] == 3
    assert run.spec.data.texts == ("the cat", "the dog ran")


def test_a_reload_restores_the_form_and_says_what_it_does_not_know(open_page) -> None:
    page = choose(open_page("probe"), "token-trace")
    page.at.selectbox(key="probe token-trace option site").set_value("mlp_out")
    page.at.radio[0].set_value("My own text").run()
    page.at.text_area(key="probe token-trace text").set_value("a king\na cat").run()
    page.at.number_input(key="probe token-trace Seed").set_value(7)
    page.settle()
    kept = {name: page.at.query_params[name] for name in page.at.query_params if "." in name}
    assert kept["token-trace.site"] == "mlp_out"
    again = open_page("probe", probe="token-trace", **kept)
    assert again.at.selectbox(key="probe token-trace option site").value == "mlp_out"
    assert again.at.text_area(key="probe token-trace text").value == "a king\na cat"
    assert again.at.number_input(key="probe token-trace Seed").value == 7
    asked = {"token-trace.site": "nowhere", "token-trace.nonsense": "1", "work.seed": "many"}
    odd = open_page("probe", probe="token-trace", **asked)
    for words in ("'nowhere'; expected one of", "no option 'nonsense'", "work.seed 'many'"):
        assert words in odd.words
    hostile = {
        "token-trace.site": "<img src=x onerror=1>**[a](javascript:1)",
        "work.seed": "9" * 5000,
    }
    bad = open_page("probe", probe="token-trace", **hostile)
    told = "".join(warning.value for warning in bad.at.warning)
    assert r"\<img src\=x onerror\=1\>\*\*\[a\]\(javascript" in told
    assert "no whole number" in bad.words
    many = {
        "logit-lens.every": "9" * 5000,
        "logit-lens.memory": "9" * 18,
        "logit-lens.shown": "inf",
    }
    beyond = open_page("probe", probe="logit-lens", **many).at.warning
    assert all(any(name in w.value for w in beyond) for name in ("every", "memory", "shown"))


def test_what_cannot_run_on_this_model_is_offered_grey_with_its_reason(open_page) -> None:
    page = open_page("probe", probe="tuned-lens")
    assert "Not on this model: " in page.words
    (run,) = [b for b in page.at.button if b.label == "Run"]
    assert run.disabled
    choose(page, "token-trace")
    (run,) = [b for b in page.at.button if b.label == "Run"]
    assert not run.disabled


def test_what_reproduce_says_is_the_same_run(open_page) -> None:
    page = choose(open_page("probe"), "token-trace")
    page.at.selectbox(key="probe token-trace option site").set_value("attn_out")
    page.press("Run")
    run = page.run("token-trace")
    command, python, toml = (c.value for c in page.at.code)
    assert RunSpec.from_toml(toml) == run.spec

    words = shlex.split(command)
    assert words[0] == "workbench"
    done = CliRunner().invoke(cli, [*words[1:], "--toml"], catch_exceptions=False)
    assert RunSpec.from_toml(done.stdout).pinned() == run.spec

    names: dict = {}
    exec(python.partition("run = execute")[0], names)
    spec = names["spec"].pinned()
    assert spec.data == run.spec.data
    assert spec.model == run.spec.model
    assert dict(spec.options) == dict(run.spec.options)


def test_data_that_cannot_be_read_is_said_before_the_run(open_page, tmp_path: Path) -> None:
    page = open_page("probe")
    page.at.radio[0].set_value("A file on this machine").run()
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a cat"}\n{"text": 3}\n{"other": 1}\n')
    page.at.text_input(key="probe isotropy path").set_value(str(path)).run()
    assert "2 rows cannot be used" in page.words
    page.at.text_input(key="probe isotropy path").set_value(str(tmp_path / "none.jsonl")).run()
    assert "none.jsonl" in page.words
    (button,) = [b for b in page.at.button if b.label == "Run"]
    button.click().run()
    assert "Try:" in page.html
    assert not page.at.exception


def test_a_failed_run_says_why(open_page) -> None:
    page = choose(open_page("probe"), "attention-pattern")
    page.at.radio[0].set_value("My own text").run()
    page.at.text_area(key="probe attention-pattern text").set_value("cat").run()
    page.press("Run")
    assert "no text is long enough" in page.html
    assert "too-little-data" in page.html


def test_a_stored_run_costs_nothing(open_page) -> None:
    page = choose(open_page("probe"), "attention-pattern")
    assert "no earlier run" in page.words
    page.press("Run")
    assert "opens at once" in page.words
    page.at.number_input(key="probe attention-pattern Seed").set_value(7)
    page.settle()
    assert "judging by the last run" in page.words


def test_the_description_is_the_docstring(open_page) -> None:
    page = choose(open_page("probe"), "token-trace")
    told = page.words
    for part in find("probe", "token-trace").description.split("\n\n")[:2]:
        assert " ".join(part.split())[:60] in " ".join(told.split())


def _widgets(at):
    return [
        *at.selectbox, *at.multiselect, *at.checkbox, *at.number_input, *at.text_input,
    ]  # fmt: skip
