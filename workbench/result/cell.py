"""What is known about one cell of a grid: a layer at a token, and the layers above and below."""

import numpy as np

from workbench.errors import UnknownName
from workbench.result.grid import LABELS, Grid
from workbench.result.tables import Column, Table

METRIC, VALUE, CONTROL, CONTROL_NAME = "metric", "value", "control", "control_is"
COLUMNS = {
    METRIC: Column(help="What was measured, behind the name of its method."),
    VALUE: Column(help="Its value at this layer and token, in the metric's own unit."),
    CONTROL: Column(help="The same under the metric's null control."),
    CONTROL_NAME: Column(help="Which control that is."),
    "unit": Column(help="Unit of both."),
    "help": Column(help="What the metric says."),
}


def cell_table(grid: Grid, layer: int, position: int) -> Table:
    """Return every metric of one cell beside the first null control that was taken there.

    Metrics that have no layers stand with their value at the token; undefined ones are left out.

    Raises:
        UnknownName: the grid has no such layer or position.
    """
    row, column = _place(grid, layer, position)
    found = {name: float(x[column]) for name, x in grid.strips.items()}
    found |= {name: float(x[row, column]) for name, x in grid.maps.items()}
    controls = _controls(grid)
    rows = []
    for name, value in found.items():
        about = grid.columns.get(name, Column())
        if about.control_of in found or not np.isfinite(value):
            continue
        known = [other for other in controls.get(name, ()) if np.isfinite(found[other])]
        other = known[0] if known else ""
        rows.append(
            {
                METRIC: name,
                VALUE: value,
                CONTROL: found.get(other, np.nan),
                CONTROL_NAME: other.removeprefix(f"{name}_").replace("_", " "),
                "unit": about.unit,
                "help": about.help,
            }
        )
    return Table.from_rows(rows, COLUMNS)


def layers_table(grid: Grid, metric: str, position: int) -> Table:
    """Return one metric of a token at every layer, with its null controls.

    Raises:
        UnknownName: the grid has no such metric or position.
    """
    _place(grid, grid.layers[0] if grid.layers else 0, position)
    names = [metric, *(n for n in grid.maps if grid.columns.get(n, Column()).control_of == metric)]
    rows = [
        {"layer": layer, **{name: float(grid.map(name)[i, position]) for name in names}}
        for i, layer in enumerate(grid.layers)
    ]
    columns = {name: grid.columns.get(name, Column()) for name in names}
    return Table.from_rows(rows, {"layer": LABELS["layer"], **columns})


def words_table(grid: Grid, position: int) -> Table:
    """Return what every layer says at a token, a column for each method that puts it in words.

    Raises:
        UnknownName: the grid has no such position.
    """
    _place(grid, grid.layers[0] if grid.layers else 0, position)
    rows = [
        {"layer": layer, **{name: said[i][position] for name, said in grid.words.items()}}
        for i, layer in enumerate(grid.layers)
    ]
    columns = {name: grid.columns.get(name, Column()) for name in grid.words}
    return Table.from_rows(rows, {"layer": LABELS["layer"], **columns})


def _controls(grid: Grid) -> dict[str, list[str]]:
    """Return the controls of each metric, in the order of their declaration."""
    found: dict[str, list[str]] = {}
    for name, about in grid.columns.items():
        if about.control_of and (name in grid.maps or name in grid.strips):
            found.setdefault(about.control_of, []).append(name)
    return found


def _place(grid: Grid, layer: int, position: int) -> tuple[int, int]:
    if grid.layers and layer not in grid.layers:
        raise UnknownName(
            f"the grid has no layer {layer}; it has {grid.layers[0]} to {grid.layers[-1]}"
        )
    if not 0 <= position < len(grid.tokens):
        raise UnknownName(f"the text has no token {position}; it has 0 to {len(grid.tokens) - 1}")
    return (grid.layers.index(layer) if grid.layers else 0), position
