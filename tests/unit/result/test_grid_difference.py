"""Two grids laid over each other: values, texts that differ, layers that are missing."""

import numpy as np
import pytest

from workbench.errors import UnknownName
from workbench.result.grid import Grid
from workbench.result.grid_difference import grid_difference
from workbench.result.tables import Column


def grid(tokens: str, layers: tuple[int, ...], start: float = 0.0) -> Grid:
    n = len(tokens)
    return Grid(
        text=0,
        tokens=tuple(tokens),
        layers=layers,
        maps={"kl": start + np.arange(len(layers) * n, dtype=float).reshape(len(layers), n)},
        strips={"norm": start + np.arange(n, dtype=float)},
        columns={"kl": Column("nats", "Distance.")},
    )


def test_the_second_less_the_first() -> None:
    found = grid_difference(grid("abc", (0, 1)), grid("abc", (0, 1), start=2.0))
    assert (found.map("kl") == 2.0).all()
    assert (found.token_strip("norm") == 2.0).all()
    assert found.columns["kl"].unit == "nats"


def test_tokens_are_matched_and_what_is_missing_is_undefined() -> None:
    found = grid_difference(grid("abcd", (0, 1, 2)), grid("axcd", (0, 2)))
    norm = found.token_strip("norm")
    assert np.isnan(norm[1])
    assert norm[[0, 2, 3]].tolist() == [0, 0, 0]
    kl = found.map("kl")
    assert np.isnan(kl[1]).all(), "a layer that the second lacks"
    assert kl[2][[0, 2, 3]].tolist() == [-4, -4, -4]
    later = grid_difference(grid("cd", (0,)), grid("abcd", (0,)))
    assert later.token_strip("norm").tolist() == [2, 2]


def test_grids_without_a_common_metric_are_refused() -> None:
    other = Grid(text=0, tokens=("a",), strips={"entropy": np.zeros(1)})
    with pytest.raises(UnknownName, match="share no metric"):
        grid_difference(grid("a", (0,)), other)
