"""From a Result's declared views to figures."""

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go

from workbench.errors import UnknownName
from workbench.figures.bars import draw_bars, draw_estimates
from workbench.figures.curves import draw_curve
from workbench.figures.graph_plot import draw_graph
from workbench.figures.heatmap import draw_heatmap
from workbench.figures.points import draw_points
from workbench.figures.token_grid import draw_token_grid
from workbench.result.result import Result
from workbench.result.views import Bars, Curve, GraphView, Heatmap, Points, TokenStrip, View


def draw(result: Result, view: View | None = None) -> go.Figure:
    """Return the figure of one view, by default the first; without views, of the estimates.

    Raises:
        UnknownName: the view names a table, array or column the result does not hold, or there
            is nothing to draw.
    """
    if view is None:
        if not result.views:
            return _estimates(result)
        view = result.views[0]
    return _DRAWN[type(view)](result, view)


def draw_all(result: Result) -> list[go.Figure]:
    """Return the figures of every view in order; without views, of the estimates if any."""
    if result.views:
        return [draw(result, view) for view in result.views]
    return [_estimates(result)] if _has_values(result) else []


def _estimates(result: Result) -> go.Figure:
    if not _has_values(result):
        raise UnknownName("the result holds no view and no estimate with a value to draw")
    return draw_estimates(result.estimates, "Estimates with their intervals")


def _has_values(result: Result) -> bool:
    return any(e.value is not None for e in result.estimates)


_DRAWN: dict[type, Callable[[Result, Any], go.Figure]] = {
    Curve: lambda result, view: draw_curve(result.table(view.table), view),
    Bars: lambda result, view: draw_bars(result.table(view.table), view),
    Points: lambda result, view: draw_points(result.table(view.table), view),
    TokenStrip: lambda result, view: draw_token_grid(result.table(view.table), view),
    Heatmap: draw_heatmap,
    GraphView: draw_graph,
}
