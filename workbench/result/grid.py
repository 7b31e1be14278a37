"""Whatever was measured at (layer, position) of one text, as labelled arrays over one grid.

In a stored result the grid is two tables: `tokens` has a row for each token of each shown text,
`grid` a row for each layer of each token. Every front end reads them through this module.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from workbench.errors import UnknownName
from workbench.result.result import Result
from workbench.result.tables import Column, columns_from

TOKENS, GRID = "tokens", "grid"
LABELS = columns_from("""
    text: Number of the text, from 0.
    layer: Layer whose output is read; −1 is the input of the first one.
    position (tokens): Tokens that stand before this one.
    token: The token's text.
    place: Position and token, the name of a column of the grid.
    token_id: The token's number in the vocabulary.
    ends_sentence: A stop mark before blank space, or a line end.
""")


def place_names(tokens: Sequence[str]) -> list[str]:
    """Return the name of each column of the grid: position and token, so that no two are alike."""
    return [f"{p} {token!r}" for p, token in enumerate(tokens)]


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """One text's tokens with a (layer, position) array per metric, and a row per token strip.

    `maps` are `layer position`, `strips` are `position`; NaN is undefined. `words` are what a
    cell says, `layer position` as well. `columns` tell units and meanings.
    """

    text: int
    tokens: tuple[str, ...]
    layers: tuple[int, ...] = ()
    maps: Mapping[str, Float[np.ndarray, "layer position"]] = field(default_factory=dict)
    strips: Mapping[str, Float[np.ndarray, " position"]] = field(default_factory=dict)
    words: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)

    def map(self, metric: str) -> Float[np.ndarray, "layer position"]:
        """Return one metric at every layer and position.

        Raises:
            UnknownName: the grid holds no such metric.
        """
        return self._find(self.maps, metric, "map")

    def token_strip(self, metric: str) -> Float[np.ndarray, " position"]:
        """Return one metric at every position.

        Raises:
            UnknownName: the grid holds no such metric.
        """
        return self._find(self.strips, metric, "strip")

    def named(self, prefix: str) -> "Grid":
        """Return the grid with a prefix before the name of every metric."""
        return replace(
            self,
            maps={f"{prefix}{name}": x for name, x in self.maps.items()},
            strips={f"{prefix}{name}": x for name, x in self.strips.items()},
            words={f"{prefix}{name}": x for name, x in self.words.items()},
            columns={f"{prefix}{name}": _renamed(x, prefix) for name, x in self.columns.items()},
        )

    def joined(self, other: "Grid") -> "Grid":
        """Return this grid with what another one of the same tokens holds; layers are aligned.

        Where one shows fewer tokens, the rest of the text is undefined there.

        Raises:
            UnknownName: the other grid is of other tokens.
        """
        n = min(len(self.tokens), len(other.tokens))
        if self.tokens[:n] != other.tokens[:n]:
            raise UnknownName(
                "the two grids are of other tokens", hint="measure one text with one model"
            )
        layers = tuple(sorted({*self.layers, *other.layers}))
        tokens = max(self.tokens, other.tokens, key=len)
        one, two = self._on(layers, tokens), other._on(layers, tokens)
        return replace(
            one,
            maps={**one.maps, **two.maps},
            strips={**one.strips, **two.strips},
            words={**one.words, **two.words},
            columns={**one.columns, **two.columns},
        )

    def _on(self, layers: tuple[int, ...], tokens: tuple[str, ...]) -> "Grid":
        """Return the grid on more layers and tokens, undefined where it has none."""
        if layers == self.layers and tokens == self.tokens:
            return self
        n, rows = len(tokens), [layers.index(layer) for layer in self.layers]
        maps = {name: np.full((len(layers), n), np.nan) for name in self.maps}
        strips = {name: np.full(n, np.nan) for name in self.strips}
        words = {}
        for name, x in self.maps.items():
            maps[name][rows, : x.shape[1]] = x
        for name, x in self.strips.items():
            strips[name][: len(x)] = x
        for name, said in self.words.items():
            known = dict(zip(rows, said, strict=True))
            padded = ((*known.get(i, ()), *("",) * n)[:n] for i in range(len(layers)))
            words[name] = tuple(padded)
        return replace(self, layers=layers, tokens=tokens, maps=maps, strips=strips, words=words)

    @staticmethod
    def _find(
        known: Mapping[str, Float[np.ndarray, "..."]], metric: str, kind: str
    ) -> Float[np.ndarray, "..."]:
        if metric not in known:
            raise UnknownName(
                f"the grid has no {kind} of {metric!r}; it has {', '.join(known) or 'none'}"
            )
        return known[metric]


def _renamed(column: Column, prefix: str) -> Column:
    """Return a column whose references to other columns carry the prefix as well."""
    names = {"low": column.low, "high": column.high, "control_of": column.control_of}
    return replace(column, **{key: f"{prefix}{name}" for key, name in names.items() if name})


def grids_of(result: Result) -> tuple[Grid, ...]:
    """Return the grid of every text that a result shows, none where it shows none."""
    if TOKENS not in result.tables or "text" not in result.tables[TOKENS].frame:
        return ()
    tokens = result.tables[TOKENS]
    cells = result.tables.get(GRID)
    columns = {**tokens.columns, **(cells.columns if cells is not None else {})}
    layered: dict[Any, pd.DataFrame] = (
        dict(iter(cells.frame.groupby("text"))) if cells is not None else {}
    )
    return tuple(
        _grid(text, tokens.frame[tokens["text"] == text], layered.get(text), columns)
        for text in sorted({int(text) for text in tokens["text"]})
    )


def _grid(
    text: int, tokens: pd.DataFrame, cells: pd.DataFrame | None, columns: Mapping[str, Column]
) -> Grid:
    strips = {name: tokens[name].to_numpy(np.float64) for name in _numbers(tokens)}
    found = Grid(
        text=text, tokens=tuple(tokens["token"].astype(str)), strips=strips, columns=columns
    )
    if cells is None:
        return found
    shape = (cells["layer"].nunique(), len(tokens))
    ordered = cells.sort_values(["layer", "position"], kind="stable")
    said = [str(name) for name in ordered if name not in LABELS and name not in _numbers(ordered)]
    return Grid(
        text=text,
        tokens=found.tokens,
        layers=tuple(int(x) for x in sorted(cells["layer"].unique())),
        maps={n: ordered[n].to_numpy(np.float64).reshape(shape) for n in _numbers(ordered)},
        strips=strips,
        words={n: _rows_of(ordered[n].fillna("").astype(str), shape) for n in said},
        columns=columns,
    )


def _numbers(frame: pd.DataFrame) -> list[str]:
    return [
        str(name)
        for name in frame
        if name not in LABELS and pd.api.types.is_numeric_dtype(frame[name])
    ]


def _rows_of(column: Iterable[str], shape: tuple[int, int]) -> tuple[tuple[str, ...], ...]:
    flat = tuple(column)
    return tuple(flat[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0]))
