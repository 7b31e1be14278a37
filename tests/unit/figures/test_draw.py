"""Every view becomes a figure that holds exactly the table's numbers, its units and its null."""

import json
import math
from dataclasses import replace

import plotly.graph_objects as go
import pytest

from workbench.errors import UnknownName
from workbench.figures.draw import draw, draw_all
from workbench.result.graph import CapabilityGraph
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Curve, GraphView, Heatmap, Points


def named(figure: go.Figure, name: str) -> go.Scatter:
    return next(t for t in figure.data if t.name == name and t.fill is None)


def test_every_view_is_drawn_and_serialises(whole: Result) -> None:
    figures = draw_all(whole)
    assert len(figures) == len(whole.views)
    for figure, view in zip(figures, whole.views, strict=True):
        assert figure.layout.title.text == view.title
        json.loads(figure.to_json())


def test_a_curve_holds_the_numbers_the_band_and_the_ghost(whole: Result) -> None:
    figure = draw(whole)
    table = whole.tables["layers"]
    assert list(named(figure, "mean cosine").y) == table["mean_cosine"].tolist()
    ghost = named(figure, "mean cosine shuffled")
    assert ghost.line.dash == "dash"
    assert list(ghost.y) == table["mean_cosine_shuffled"].tolist()
    (band,) = [t for t in figure.data if t.fill == "toself"]
    n = len(table)
    assert list(band.y[:n]) == table["mean_cosine_high"].tolist()
    assert list(band.y[n:])[::-1] == table["mean_cosine_low"].tolist()


def test_columns_of_different_units_never_share_an_axis(whole: Result) -> None:
    figure = draw(whole)
    assert named(figure, "mean cosine").yaxis == named(figure, "mean cosine shuffled").yaxis
    assert named(figure, "mean cosine").yaxis != named(figure, "effective rank").yaxis
    titles = {figure.layout.yaxis.title.text, figure.layout.yaxis2.title.text}
    assert titles == {"mean cosine (cosine)", "effective rank (dimensions)"}


def test_a_grouped_curve_has_one_line_per_group(layers: Table) -> None:
    view = Curve("t", "layers", x="layer", y=("mean_cosine",), group="group")
    figure = draw(Result(summary="", tables={"layers": layers}), view)
    lines = [t for t in figure.data if t.fill is None]
    assert [t.name for t in lines] == ["a", "b"]
    assert len({t.line.color for t in lines}) == 2


def test_missing_numbers_leave_a_gap(layers: Table) -> None:
    frame = layers.frame.copy()
    frame.loc[2, "mean_cosine"] = math.nan
    view = Curve("t", "x", x="layer", y=("mean_cosine",))
    figure = draw(Result(summary="", tables={"x": Table(frame)}), view)
    assert figure.data[0].y[2] is None


def test_bars_carry_error_bars_and_their_control(whole: Result) -> None:
    figure = draw(whole, whole.views[1])
    bar = figure.data[0]
    table = whole.tables["layers"]
    assert list(bar.y) == table["mean_cosine"].tolist()
    assert bar.error_y.array == pytest.approx([0.03] * 6)
    assert bar.error_y.arrayminus == pytest.approx([0.02] * 6)
    assert list(figure.data[1].y) == table["mean_cosine_shuffled"].tolist()


def test_a_grouped_bar_chart_keeps_controls_beside_their_bars(layers: Table) -> None:
    view = Bars("t", "x", x="layer", y="mean_cosine", group="group", control="mean_cosine_shuffled")
    figure = draw(Result(summary="", tables={"x": layers}), view)
    assert [t.offsetgroup for t in figure.data] == ["a", "a", "b", "b"]


def test_points_colour_by_number_or_by_word(layers: Table) -> None:
    result = Result(summary="", tables={"x": layers})
    view = Points("t", "x", x="mean_cosine", y="effective_rank", color="layer")
    by_number = draw(result, view)
    assert list(by_number.data[0].marker.color) == layers["layer"].tolist()
    by_word = draw(result, replace(view, color="group", diagonal=True))
    assert [t.name for t in by_word.data] == ["equal", "a", "b"]


def test_a_heatmap_puts_each_value_in_its_cell(whole: Result) -> None:
    trace = draw(whole, whole.views[3]).data[0]
    assert trace.z[3][4] == 12.0
    assert trace.texttemplate == "%{text}"
    array = Heatmap("m", "matrix", row="row", column="col", value="v")
    assert draw(whole, array).data[0].z[1][2] == 5.0


def test_a_diverging_heatmap_is_centred_on_zero(whole: Result) -> None:
    view = Heatmap("m", "matrix", row="r", column="c", value="v", diverging=True)
    trace = draw(whole, view).data[0]
    assert (trace.zmin, trace.zmax) == (-5.0, 5.0)


def test_a_graph_shows_weight_as_width_and_stability_as_opacity(whole: Result) -> None:
    figure = draw(whole, whole.views[5])
    arrows = [a for a in figure.layout.annotations if a.showarrow]
    assert len(arrows) == 2
    assert arrows[1].arrowwidth > arrows[0].arrowwidth
    assert float(arrows[0].arrowcolor.rsplit(",", 1)[1][:-1]) > float(
        arrows[1].arrowcolor.rsplit(",", 1)[1][:-1]
    )
    assert [a.arrowside for a in arrows] == ["end", "none"]
    assert arrows[0].ay > arrows[0].y, "a cause stands above its effect"


def test_a_direction_that_is_not_identified_is_dashed_and_edges_carry_numbers(
    whole: Result,
) -> None:
    open_, fixed = (
        draw(replace(whole, graph=CapabilityGraph(nodes=(), edges=(), identified=known)), view)
        for known, view in ((False, whole.views[5]), (True, whole.views[5]))
    )
    shafts = [trace for trace in open_.data if trace.mode == "lines"]
    assert [trace.line.dash for trace in shafts] == ["dash", "dash"]
    assert not [trace for trace in fixed.data if trace.mode == "lines"]
    told = [a.text for f in (open_, fixed) for a in f.layout.annotations if "width:" in a.text]
    assert ["not identified" in words for words in told] == [True, False]
    arrows = [[a for a in f.layout.annotations if a.showarrow] for f in (open_, fixed)]
    assert [(a.x, a.y) for a in arrows[0]] == [(a.x, a.y) for a in arrows[1]]
    weights = whole.table("edges")["weight"].tolist()
    numbers = [t.text[0] for t in fixed.data if t.mode == "markers+text" and t.hovertext]
    assert all(f"{abs(weights[0]):g}"[:3] in words for words in numbers[:1])


def test_a_graph_with_groups_has_one_panel_each() -> None:
    edges = Table.from_rows(
        {"cause": a, "effect": b, "weight": 1.0, "domain": d}
        for d in "xyzw"
        for a, b in (("p", "q"), ("q", "p"))
    )
    nodes = Table.from_rows([{"name": "p"}, {"name": "q"}])
    view = GraphView(title="g", nodes="nodes", edges="edges", group="domain")
    figure = draw(Result(summary="", tables={"nodes": nodes, "edges": edges}), view)
    panels = {a.xref for a in figure.layout.annotations if a.showarrow}
    assert panels == {"x", "x2", "x3", "x4"}


def test_without_views_the_estimates_are_drawn_with_interval_and_control(whole: Result) -> None:
    (figure,) = draw_all(replace(whole, views=()))
    point = figure.data[0]
    assert list(point.x) == [0.5]
    assert point.error_x.array == pytest.approx((0.03,))
    assert list(named(figure, "control").x) == [0.05]


def test_nothing_to_draw_is_an_empty_list_or_an_error() -> None:
    empty = Result(summary="nothing")
    assert draw_all(empty) == []
    with pytest.raises(UnknownName, match="no view and no estimate"):
        draw(empty)


@pytest.mark.parametrize("name", ["table", "x", "y"])
def test_a_view_of_what_is_not_there_names_what_is(whole: Result, name: str) -> None:
    view = Curve("t", "layers", x="layer", y=("mean_cosine",))
    broken = replace(view, **{name: ("nope",) if name == "y" else "nope"})
    with pytest.raises(UnknownName, match="layers" if name == "table" else "mean_cosine"):
        draw(whole, broken)


def test_foreign_text_is_never_markup(whole: Result) -> None:
    for figure in draw_all(whole):
        text = json.dumps(json.loads(figure.to_json()), ensure_ascii=False)
        assert "<script" not in text
        assert "<b>" not in text
        assert "<img" not in text
        assert "\u202e" not in text
        assert "\x1b" not in text


def test_bars_with_long_names_lie_down() -> None:
    rows = [
        {"order": "general → following → mathematics", "score": 0.2, "low": 0.1, "high": 0.4},
        {"order": "short", "score": 0.3, "low": 0.2, "high": 0.5},
    ]
    columns = {"score": Column("points", low="low", high="high")}
    view = Bars("orders", "orders", x="order", y="score")
    figure = draw(Result(summary="", tables={"orders": Table.from_rows(rows, columns)}), view)
    (bar,) = figure.data
    assert bar.orientation == "h"
    assert list(bar.x) == [0.2, 0.3]
    assert list(bar.error_x.array) == pytest.approx([0.2, 0.2])
    assert bar.error_y.array is None
    assert figure.layout.yaxis.title.text == "order"


def test_axes_of_proportions_end_at_0_and_1_and_those_of_differences_do_not() -> None:
    rows = [{"x": f"r{i}", "n": i, "p": p, "d": p - 0.5} for i, p in enumerate((0.2, 0.4))]
    columns = {"p": Column("share of tokens"), "d": Column("proportion")}
    table = Table.from_rows(rows, columns)
    result = Result(summary="", tables={"t": table})
    for name, ends in (("p", (0, 1)), ("d", None)):
        curve = draw(result, Curve(title="c", table="t", x="n", y=(name,)))
        bars = draw(result, Bars(title="b", table="t", x="x", y=name))
        points = draw(result, Points(title="p", table="t", x="n", y=name))
        assert [f.layout.yaxis.range for f in (curve, bars, points)] == [ends] * 3
    long = Table.from_rows(
        [{**row, "x": "a name too long to stand" + row["x"]} for row in rows], columns
    )
    lying = draw(Result(summary="", tables={"t": long}), Bars(title="b", table="t", x="x", y="p"))
    assert (lying.layout.xaxis.range, lying.layout.yaxis.range) == ((0, 1), None)
    assert (
        draw(result, Curve(title="c", table="t", x="n", y=("p",), log_y=True)).layout.yaxis.range
        is None
    )


def test_more_lines_than_colours_are_chosen_with_a_slider() -> None:
    rows = [
        {"rank": r, "share": float(r + k), "site": f"resid_post.{k}"}
        for k in range(9)
        for r in (1, 2)
    ]
    view = Curve(title="Spectrum", table="t", x="rank", y=("share",), group="site")
    figure = draw(Result(summary="", tables={"t": Table.from_rows(rows)}), view)
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == [f"resid_post.{k}" for k in range(9)]
    shown = [trace for trace in figure.data if trace.visible]
    assert [list(trace.y) for trace in shown] == [[9, 10]], "one layer at a time, the last first"
    assert list(slider.steps[3].args[0]["visible"]) == [k == 3 for k in range(9)]
    few = Table.from_rows(row for row in rows if row["site"] < "resid_post.7")
    assert not draw(Result(summary="", tables={"t": few}), view).layout.sliders
