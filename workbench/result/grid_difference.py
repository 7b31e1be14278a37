"""Two grids laid over each other: what one holds beyond the other, token by token."""

from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from workbench.errors import UnknownName
from workbench.result.grid import LABELS, Grid
from workbench.result.tables import Column, Table


def grid_difference(first: Grid, second: Grid) -> Grid:
    """Return second − first on the tokens and layers of the first.

    Tokens of two texts are matched by their longest common runs. Undefined is a token or a layer
    that the second lacks; a metric is there where both have it.

    Raises:
        UnknownName: they have no metric in common.
    """
    where = _matches(first.tokens, second.tokens)
    rows = np.array([_index(second.layers, layer) for layer in first.layers], np.int64)
    maps = {
        name: _taken(second.maps[name], rows, where) - x
        for name, x in first.maps.items()
        if name in second.maps
    }
    strips = {
        name: _taken(second.strips[name][None], np.zeros(1, np.int64), where)[0] - x
        for name, x in first.strips.items()
        if name in second.strips
    }
    if not maps and not strips:
        raise UnknownName("the two grids share no metric", hint="run the same probe on both")
    columns = {
        name: replace(about, help=f"Second − first. {about.help}", low="", high="")
        for name, about in first.columns.items()
    }
    return replace(first, maps=maps, strips=strips, words={}, columns=columns)


def layers_beside(grid: Grid, metric: str, layers: tuple[int, int]) -> Table:
    """Return one metric along the text at two layers, and the second less the first.

    Raises:
        UnknownName: the grid has no such metric or layer.
    """
    values = grid.map(metric)
    missing = [layer for layer in layers if layer not in grid.layers]
    if missing:
        raise UnknownName(f"the grid has no layer {missing[0]}; it has {list(grid.layers)}")
    a, b = (values[grid.layers.index(layer)] for layer in layers)
    columns = {f"layer {layers[0]}": a, f"layer {layers[1]}": b, "difference": b - a}
    about = grid.columns.get(metric, Column())
    told = {name: Column(about.unit, about.help) for name in columns}
    frame = pd.DataFrame({"position": np.arange(len(a)), **columns})
    return Table(frame, {"position": LABELS["position"], **told})


def _matches(first: tuple[str, ...], second: tuple[str, ...]) -> Int[np.ndarray, " n"]:
    """Return the place of each token in the second text, −1 where it has none."""
    found = np.full(len(first), -1, np.int64)
    for block in SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks():
        found[block.a : block.a + block.size] = np.arange(block.b, block.b + block.size)
    return found


def _index(layers: tuple[int, ...], layer: int) -> int:
    return layers.index(layer) if layer in layers else -1


def _taken(
    x: Float[np.ndarray, "layer pos"], rows: Int[np.ndarray, " m"], where: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "m n"]:
    found: Float[np.ndarray, "m n"] = x[np.ix_(rows, where)].astype(np.float64)
    found[rows < 0] = np.nan
    found[:, where < 0] = np.nan
    return found
