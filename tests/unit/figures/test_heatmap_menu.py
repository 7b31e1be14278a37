"""A heat map with a group is a menu of matrices with the same colours and details on hover."""

import pytest

from workbench.errors import UnknownName
from workbench.figures.compare import draw_difference
from workbench.figures.draw import draw
from workbench.figures.heatmap import draw_heatmap, grid_of
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.result.views import Heatmap, Points

VIEW = Heatmap(
    title="grid", table="cells", row="layer", column="place", value="logprob", text="written",
    group="reading", details=("cosine", "nearest"),
)  # fmt: skip


def _result(shift=0.0):
    rows = [
        {
            "reading": reading,
            "layer": layer,
            "place": f"{place}",
            "logprob": -layer - place - 10 * i + shift,
            "written": f"<b>{reading} {layer} {place}",
            "cosine": None if place else 0.25,
            "nearest": "a $x$ <i>",
        }
        for i, reading in enumerate(("state", "random vector"))
        for layer in (0, 1)
        for place in range(3 - i)
    ]
    columns = {"logprob": Column("nats", "x")}
    return Result(summary="", tables={"cells": Table.from_rows(rows, columns)}, views=(VIEW,))


def test_one_matrix_shows_at_a_time_and_all_share_the_colours():
    figure = draw_heatmap(_result(), VIEW)
    assert [trace.visible for trace in figure.data] == [True, False]
    assert [len(trace.z[0]) for trace in figure.data] == [3, 2]
    assert len({(trace.zmin, trace.zmax) for trace in figure.data}) == 1
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == ["state", "random vector"]
    assert buttons[1].args[0] == {"visible": [False, True]}


def test_details_are_shown_on_hover_and_are_not_markup():
    hover = draw_heatmap(_result(), VIEW).data[0].hovertext
    assert "cosine: 0.25" in hover[0][0]
    assert "cosine: –" in hover[0][1]
    assert "&lt;i&gt;" in hover[0][0]
    assert "<i>" not in hover[0][0]


def test_without_a_group_there_is_no_menu_and_columns_are_checked():
    plain = Heatmap(title="g", table="cells", row="layer", column="place", value="logprob")
    figure = draw_heatmap(_result(), plain)
    assert not figure.layout.updatemenus
    assert figure.data[0].visible is None
    with pytest.raises(UnknownName, match="no column"):
        draw_heatmap(_result(), Heatmap(**{**vars(VIEW), "details": ("absent",)}))
    with pytest.raises(UnknownName, match="no column"):
        draw_heatmap(_result(), Heatmap(**{**vars(VIEW), "group": "absent"}))


def test_two_results_are_compared_by_their_first_matrix():
    grid = grid_of(_result(), VIEW)
    assert grid.values.shape == (2, 3)
    figure = draw_difference((_result(), _result(1.0)), VIEW, names=("a", "b"))
    assert figure is not None
    assert {v for row in figure.data[0].z for v in row} == {1.0}


def test_sentences_take_several_lines_of_a_cell_and_stay_text():
    words = "a sentence of <b>many</b> words that goes on and on, far beyond what any cell can hold"
    rows = [{"place": "0", "layer": i, "v": 1.0, "words": words} for i in range(4)]
    result = Result(summary="", tables={"t": Table.from_rows(rows)})
    view = Heatmap(
        title="t", table="t", row="place", column="layer", value="v", text="words", lines=3
    )
    cell = draw_heatmap(result, view).data[0].text[0][0]
    assert cell.count("<br>") == 1
    assert "&lt;b&gt;many&lt;/b&gt;" in cell
    short = draw_heatmap(result, Heatmap(**{**vars(view), "lines": 1})).data[0].text[0][0]
    assert short.endswith("…")


def test_rows_of_a_path_are_joined():
    rows = [{"x": i, "y": -i, "who": "ab"[i % 2]} for i in range(6)]
    result = Result(summary="", tables={"t": Table.from_rows(rows)})
    figure = draw(result, Points(title="p", table="t", x="x", y="y", path="who"))
    assert [trace.mode for trace in figure.data] == ["lines", "lines", "markers"]
    assert list(figure.data[0].x) == [0, 2, 4]
