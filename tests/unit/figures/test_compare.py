"""Differences between two results are drawn, and are right minus left."""

from dataclasses import replace

import pytest

from workbench.figures.compare import (
    draw_difference,
    draw_estimate_pairs,
    estimate_differences,
)
from workbench.result.estimate import Estimate
from workbench.result.result import Result
from workbench.result.tables import Table

NAMES = ("left", "right")


@pytest.fixture
def pair(whole: Result) -> tuple[Result, Result]:
    layers = whole.tables["layers"]
    frame = layers.frame.assign(mean_cosine=layers["mean_cosine"] + 0.25)
    cells = whole.tables["cells"]
    moved = Table(cells.frame.assign(kl=cells["kl"] - 1.0), cells.columns)
    tables = {**whole.tables, "layers": Table(frame, layers.columns), "cells": moved}
    other = Estimate(name="cosine", value=0.7, unit="cosine", n=9, low=0.6, high=0.8)
    return whole, replace(whole, tables=tables, estimates=(other,))


def test_estimates_are_paired_by_name(pair: tuple[Result, Result]) -> None:
    rows = estimate_differences(pair, names=NAMES).rows()
    assert [r["estimate"] for r in rows] == ["cosine", "rank", "lost"]
    assert rows[0]["difference"] == pytest.approx(0.2)
    assert rows[1]["difference"] is None
    figure = draw_estimate_pairs(pair, names=NAMES)
    assert figure is not None
    assert [list(t.x) for t in figure.data] == [[0.5], [0.7]]


def test_curves_draw_both_and_the_difference(pair: tuple[Result, Result]) -> None:
    figure = draw_difference(pair, pair[0].views[0], names=NAMES)
    assert figure is not None
    (difference,) = [t for t in figure.data if t.xaxis == "x2"]
    assert list(difference.y) == pytest.approx([0.25] * 6)


def test_heatmaps_draw_the_difference_about_zero(pair: tuple[Result, Result]) -> None:
    figure = draw_difference(pair, pair[0].views[3], names=NAMES)
    assert figure is not None
    assert figure.data[0].z[2][2] == pytest.approx(-1.0)
    assert figure.data[0].zmin == -figure.data[0].zmax


def test_views_without_a_difference_return_none(pair: tuple[Result, Result]) -> None:
    assert draw_difference(pair, pair[0].views[1], names=NAMES) is None
    empty = Result(summary="")
    assert draw_difference((pair[0], empty), pair[0].views[0], names=NAMES) is None
    assert draw_estimate_pairs((pair[0], empty), names=NAMES) is None
