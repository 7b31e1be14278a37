"""One cell of a grid: every metric beside its own control, and the layers at a token."""

import numpy as np
import pytest

from workbench.errors import UnknownName
from workbench.result.cell import cell_table, layers_table, words_table
from workbench.result.grid import Grid
from workbench.result.tables import Column


@pytest.fixture
def grid() -> Grid:
    kl = np.array([[3.0, 2.0, np.nan], [1.0, 0.5, 0.25]])
    return Grid(
        text=0,
        tokens=("a", "b", "c"),
        layers=(4, 9),
        maps={"kl": kl, "kl_random": kl + 10, "kl_shuffled": kl + 20},
        strips={"surprisal": np.array([np.nan, 5.0, 6.0])},
        words={"said": (("x", "y", "z"), ("u", "v", "w"))},
        columns={
            "kl": Column("nats", "Distance."),
            "kl_random": Column("nats", "Of random states.", control_of="kl"),
            "kl_shuffled": Column("nats", "Of other tokens.", control_of="kl"),
            "surprisal": Column("nats", "Surprise."),
        },
    ).named("lens ")


def test_a_cell_has_every_metric_beside_its_first_control(grid: Grid) -> None:
    rows = {row["metric"]: row for row in cell_table(grid, 9, 1).rows()}
    assert set(rows) == {"lens kl", "lens surprisal"}
    assert (rows["lens kl"]["value"], rows["lens kl"]["control"]) == (0.5, 10.5)
    assert rows["lens kl"]["control_is"] == "random"
    assert rows["lens surprisal"]["value"] == 5.0
    assert rows["lens surprisal"]["control"] is None


def test_the_next_control_stands_in_where_the_first_was_not_taken(grid: Grid) -> None:
    grid.maps["lens kl_random"][1, 1] = np.nan
    (row,) = [r for r in cell_table(grid, 9, 1).rows() if r["metric"] == "lens kl"]
    assert (row["control"], row["control_is"]) == (20.5, "shuffled")


def test_what_is_undefined_in_a_cell_is_left_out(grid: Grid) -> None:
    assert [r["metric"] for r in cell_table(grid, 4, 2).rows()] == ["lens surprisal"]
    assert [r["metric"] for r in cell_table(grid, 4, 0).rows()] == ["lens kl"]


def test_the_layers_of_a_token_stand_with_all_controls(grid: Grid) -> None:
    frame = layers_table(grid, "lens kl", 1).frame
    assert frame.to_dict("list") == {
        "layer": [4, 9], "lens kl": [2.0, 0.5],
        "lens kl_random": [12.0, 10.5], "lens kl_shuffled": [22.0, 20.5],
    }  # fmt: skip
    assert words_table(grid, 2).frame.to_dict("list") == {"layer": [4, 9], "lens said": ["z", "w"]}


@pytest.mark.parametrize(("layer", "position", "says"), [(5, 0, "no layer 5"), (4, 3, "token 3")])
def test_a_place_outside_the_grid_is_named(
    grid: Grid, layer: int, position: int, says: str
) -> None:
    with pytest.raises(UnknownName, match=says):
        cell_table(grid, layer, position)
