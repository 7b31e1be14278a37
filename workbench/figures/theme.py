"""One look for every figure: colours, scales, fonts and how numbers are written.

The colours are Okabe and Ito's, which readers with any common colour vision tell apart, on a
background that shows through, so that the same figure stands on a light and on a dark page.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from types import MappingProxyType
from typing import Any
from zlib import crc32

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from workbench.figures.glyphs import figure_text
from workbench.result.tables import Column, Table

SEQUENTIAL = "Viridis"
DIVERGING = "RdBu_r"
CONTROL_DASHES = ("dash", "dot", "dashdot", "longdash")
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F6FD9")
CONTROL = "#8C8C8C"
GRID = "rgba(128,128,128,0.22)"
INK = "#6E7681"
SANS = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"
MONO = "ui-monospace, 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace"

# A quantity keeps its colour on every page.
_KNOWN = {
    "norm": 4,
    "entropy": 2,
    "surprisal": 1,
    "nll": 1,
    "kl": 3,
    "kl_to_final": 3,
    "mean_cosine": 0,
    "accuracy": 0,
    "weight": 0,
}


def colour_of(quantity: str) -> str:
    """Return the colour of a quantity, the same wherever it is drawn."""
    place = _KNOWN.get(quantity, crc32(quantity.encode()) % len(PALETTE))
    return PALETTE[place]


def colours_of(quantities: Iterable[str]) -> dict[str, str]:
    """Return a colour for each quantity of one figure, its own where that is still free."""
    chosen: dict[str, str] = {}
    for name in quantities:
        free = [c for c in PALETTE if c not in chosen.values()] or list(PALETTE)
        own = colour_of(name)
        chosen[name] = own if own in free else free[0]
    return chosen


def faded(colour: str, alpha: float) -> str:
    """Return a `#rrggbb` colour as `rgba(...)`."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def shades(n: int, *, diverging: bool = False) -> list[str]:
    """Return n `rgb(...)` colours spread over the sequential or the diverging scale."""
    places = [i / max(n - 1, 1) for i in range(n)]
    found: list[str] = sample_colorscale(DIVERGING if diverging else SEQUENTIAL, places)
    return found


def ink_on(colour: str) -> str:
    """Return black or white, whichever reads better on an `rgb(...)` colour."""
    red, green, blue = (float(v) / 255 for v in colour[4:-1].split(","))
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (red, green, blue)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000" if luminance > 0.179 else "#fff"


def number(
    value: float | int | None, low: float | int | None = None, high: float | int | None = None
) -> str:
    """Write a number with as many digits as its interval allows: two of the interval's width.

    Without an interval four significant digits are kept. None is a dash.
    """
    if value is None or not math.isfinite(value):
        return "–"
    if low is None or high is None or not 0 < high - low < math.inf:
        return f"{value:.4g}"
    places = 1 - math.floor(math.log10(high - low))
    size = math.floor(math.log10(max(abs(value), abs(low), abs(high)))) if value else 0
    if size >= 6 or (size <= -5 and places > 6):
        return f"{value:.{max(size + places, 0)}e}"
    return f"{round(value, places):.{max(places, 0)}f}"


def label(table: Table, column: str) -> str:
    """Return the column's name with its unit, safe to draw; a unit that repeats it is left out."""
    words, unit = column.replace("_", " "), table.columns.get(column, Column()).unit
    return figure_text(f"{words} ({unit})" if unit and unit not in words else words)


def unit_of(table: Table, column: str) -> str:
    """Return the column's unit, safe to draw."""
    return figure_text(table.columns.get(column, Column()).unit)


def dressed(figure: go.Figure, title: str, *, height: int = 380) -> go.Figure:
    """Give a figure its title, fonts and grid.

    The look is a template, so that a page in another theme can lay its own over it.
    """
    size = _size(height, 1)
    return laid_out(
        figure,
        x=_AXIS,
        y=_AXIS,
        template=_look(),
        title={"text": figure_text(title), "x": 0, "xanchor": "left", "yanchor": "top"},
        hovermode="closest",
        **{**size, "margin": {"l": 64, "r": 24, "t": 52, **size["margin"]}},
    )


_AXIS = {"title": {"standoff": 8, "font": {"size": 12}}, "automargin": True}


def laid_out(
    figure: go.Figure,
    *,
    x: Mapping[str, Any] = MappingProxyType({}),
    y: Mapping[str, Any] = MappingProxyType({}),
    **layout: Any,
) -> go.Figure:
    """Change the layout, all x axes and all y axes in one step.

    Plotly looks up and checks each of its own updates by name, which takes longer than all else.
    """
    found = figure.layout.to_plotly_json()
    _merge(found, layout)
    for prefix, changes in (("xaxis", x), ("yaxis", y)):
        if changes:
            for name in {prefix, *(name for name in found if name.startswith(prefix))}:
                _merge(found.setdefault(name, {}), changes)
    figure.layout = found
    return figure


def _merge(found: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(found.get(name), dict):
            _merge(found[name], value)
        else:
            found[name] = deepcopy(value)


def sized(figure: go.Figure, height: int, *, legend_lines: int = 1) -> go.Figure:
    """Set the height in pixels, with so many lines of legend below the axis title."""
    return laid_out(figure, **_size(height, legend_lines))


def _size(height: int, legend_lines: int) -> dict[str, Any]:
    legend = {
        "orientation": "h",
        "yref": "container",
        "yanchor": "bottom",
        "y": 0,
        "x": 0,
        "xanchor": "left",
    }
    return {"height": height, "legend": legend, "margin": {"b": 56 + 21 * legend_lines}}


def group_menu(
    figure: go.Figure, names: Sequence[str], shown: Sequence[Sequence[dict[str, Any]]]
) -> go.Figure:
    """Add a menu of groups; `shown` are the changes of traces and layout for each of them."""
    buttons = [
        {"label": figure_text(name), "method": "update", "args": list(changes)}
        for name, changes in zip(names, shown, strict=True)
    ]
    # On the left: the bar of tools hovers over the right.
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 6}}
    menu = {"buttons": buttons, **place}
    return figure.update_layout(updatemenus=[menu], margin_t=92, title_y=1, title_pad_t=12)


@cache
def _look() -> go.layout.Template:
    axis = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": GRID,
    }
    return go.layout.Template(
        layout={
            "font": {"family": SANS, "size": 12, "color": INK},
            "title": {"font": {"size": 15}},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {"font": {"family": MONO, "size": 12}, "align": "left"},
        }
    )


def marked(figure: go.Figure, position: int | None) -> go.Figure:
    """Draw an upright line at a chosen position; None leaves the figure as it is."""
    if position is not None:
        figure.add_vline(x=position, line={"color": PALETTE[1], "width": 1.5, "dash": "dot"})
    return figure


def in_frame(figure: go.Figure, column: int | None) -> go.Figure:
    """Draw a frame round a chosen column of a matrix, so that no line crosses its words."""
    if column is not None:
        line = {"color": PALETTE[1], "width": 1.5, "dash": "dot"}
        ends = {"x0": column - 0.5, "x1": column + 0.5, "y0": 0, "y1": 1}
        figure.add_shape(type="rect", yref="paper", line=line, **ends)
    return figure


def outlined(figure: go.Figure, row: int | None, column: int | None) -> go.Figure:
    """Draw a frame round a chosen cell of a matrix; None leaves the figure as it is."""
    if row is not None and column is not None:
        line = {"color": PALETTE[1], "width": 2}
        figure.add_shape(
            type="rect", x0=column - 0.5, x1=column + 0.5, y0=row - 0.5, y1=row + 0.5, line=line
        )
    return figure
