"""What a notebook shows: charts without a network, everything escaped."""

from dataclasses import replace

from workbench.figures.notebook import charts_html
from workbench.model.model import Model
from workbench.result.result import Result
from workbench.runs.run import Run
from workbench.runs.spec import RunSpec


def test_a_run_draws_all_its_views_without_a_network(whole: Result) -> None:
    html = Run(spec=RunSpec(name="x"), status="complete", result=whole)._repr_html_()
    assert html.count('class="plotly-graph-div"') == len(whole.views) - 1
    assert html.count('class="wb-strip"') == 1
    assert "cdn.plot.ly" not in html.split("plotly.js v")[0]
    assert '<script src="http' not in html
    assert "<img src=x" not in html
    assert "\x1b" not in charts_html(whole)


def test_a_result_without_views_draws_its_estimates(whole: Result) -> None:
    assert charts_html(replace(whole, views=())).count("plotly-graph-div") == 1
    assert charts_html(Result(summary="nothing")) == ""


def test_models_and_traces_show_their_facts(tiny_llama: Model) -> None:
    card = tiny_llama._repr_html_()
    assert f"{tiny_llama.spec.n_parameters:,}".replace(",", " ") in card
    trace = tiny_llama.run("<b>\x1b[31m the cat", read=["resid_post.1"], logits="last")
    html = trace._repr_html_()
    assert "resid_post.1" in html
    assert "&lt;b&gt;" in html
    assert "\x1b" not in html
    assert str(tuple(trace["resid_post.1"].shape)) in html
