"""One text in the terminal: its tokens in colour, and a metric layer by layer in shades."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.cli.escaping import visible_cell
from app.cli.layout import number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.text import Text

    from workbench.result.grid import Grid

_SHADES = " ░▒▓█"
_CELL = 3


def strip_line(grid: "Grid", metric: str) -> "Text":
    """Return the tokens of a text, coloured by a metric, each with its number."""
    from rich.text import Text

    values, line = grid.token_strip(metric), Text()
    levels = _levels(values.tolist())
    for token, value, level in zip(grid.tokens, values.tolist(), levels, strict=True):
        line.append(visible_cell(token), style=_style(level))
        line.append(f" {number(value)} " if level is not None else " – ", style="dim")
    return line


def map_lines(grid: "Grid", metric: str, width: int) -> "list[Text]":
    """Return the layers of a metric as lines of shades, in blocks that fit the width."""
    from rich.text import Text

    values = grid.map(metric)
    levels, per_block = _levels(values.reshape(-1).tolist()), max(1, (width - 6) // _CELL)
    n, lines = values.shape[1], []
    for start in range(0, n, per_block):
        columns = range(start, min(start + per_block, n))
        lines.append(Text("      " + "".join(f"{p:<{_CELL}}" for p in columns), style="dim"))
        for i, layer in enumerate(grid.layers):
            line = Text(f"{layer:>4}  ", style="dim")
            for p in columns:
                level = levels[i * n + p]
                shade = "·" if level is None else _SHADES[level]
                line.append(shade * (_CELL - 1) + " ", style=_style(level))
            lines.append(line)
    return lines


def _levels(values: Sequence[float]) -> list[int | None]:
    """Return for each value one of five levels between the least and the largest."""
    import numpy as np

    x = np.array(values, dtype=np.float64)
    finite = x[np.isfinite(x)]
    if not len(finite):
        return [None] * len(x)
    low, high = float(finite.min()), float(finite.max())
    scale = (len(_SHADES) - 1) / (high - low) if high > low else 0.0
    return [round((v - low) * scale) if np.isfinite(v) else None for v in x.tolist()]


def _style(level: int | None) -> str:
    return ("", "blue", "cyan", "yellow", "bold red")[level] if level is not None else "dim"


def about(grid: "Grid", metric: str, values: "NDArray[np.float64]") -> str:
    """Return a metric's name, range, unit and meaning."""
    import numpy as np

    column, finite = grid.columns.get(metric), values[np.isfinite(values)]
    ends = f"{number(finite.min())} to {number(finite.max())} " if finite.size else ""
    return f"{metric}, {ends}{column.unit if column else ''} ({column.help if column else ''})"
