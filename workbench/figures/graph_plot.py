"""Nodes and directed edges: width is the size of the effect, opacity how often it was found."""

from dataclasses import dataclass, field, replace
from textwrap import wrap
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.figures.glyphs import figure_text
from workbench.figures.graph_layout import label_side, layout
from workbench.figures.theme import CONTROL, PALETTE, dressed, faded, group_menu, number
from workbench.result.result import Result
from workbench.result.tables import Column, Table
from workbench.result.views import GraphView

_PER_ROW = 3
_WHOLE = "all"  # the group that holds all others comes first
_WIDEST = 7.0
_LONGEST_LINE = 96
_MOST_NUMBERED = 6  # edges of a panel that carry their number


@dataclass(frozen=True, kw_only=True, eq=False)
class _Panel:
    """One group of edges with the places of the nodes, and where it stands in the figure.

    Dashed are edges whose direction the data do not identify.
    """

    edges: list[dict[Any, Any]]
    reach: float
    row: int
    column: int
    axis: str
    places: dict[str, tuple[float, float]] = field(default_factory=dict)
    is_dashed: bool = False


_Drawing = tuple[go.Figure, Table, Table, GraphView]


def draw_graph(result: Result, view: GraphView) -> go.Figure:
    """Draw a graph, one panel or one choice of a menu per group, nodes at the same places in each.

    Raises:
        UnknownName: the result lacks a table or column of the view.
    """
    nodes, edges = result.table(view.nodes), result.table(view.edges)
    for column in filter(None, (view.cause, view.effect, view.stability, view.group)):
        edges[column]
    places = layout([str(name) for name in nodes[view.node]], edges, view)
    groups = list(dict.fromkeys(map(str, edges[view.group]))) if view.group else [""]
    groups = sorted(groups, key=lambda name: name != _WHOLE) or [""]
    columns = 1 if view.menu else min(len(groups), _PER_ROW)
    rows = 1 if view.menu else -(-len(groups) // columns)
    titles = [] if view.menu else [*map(figure_text, groups)]
    figure = make_subplots(rows=rows, cols=columns, subplot_titles=titles)
    is_dashed = result.graph is not None and result.graph.identified is False
    drawing = (figure, nodes, edges, view)
    panels = _panels(groups, edges, view, columns)
    panels = [replace(p, places=places, is_dashed=is_dashed) for p in panels]
    dressed(figure, view.title, height=620 if view.menu else 120 + 400 * rows)
    if view.menu and len(groups) > 1:
        _draw_menu(drawing, panels, groups)
    else:
        for panel in panels:
            _draw_panel(drawing, panel)
        _explain(drawing, is_dashed=is_dashed)
    if view.group and not view.menu:
        figure.update_layout(margin_t=82)  # the title stands above the names of the groups
    figure.update_xaxes(visible=False, range=[-0.55, 1.55])
    figure.update_yaxes(visible=False, range=[-0.18, 1.15])
    return figure.update_layout(showlegend=False)


def _panels(groups: list[str], edges: Table, view: GraphView, columns: int) -> list[_Panel]:
    records, reach = edges.frame.to_dict("records"), _reach(edges, view)
    found = []
    for i, group in enumerate(groups):
        k = 0 if view.menu else i
        found.append(
            _Panel(
                edges=[e for e in records if not view.group or str(e[view.group]) == group],
                reach=reach,
                row=k // columns + 1,
                column=k % columns + 1,
                axis="" if k == 0 else str(k + 1),
            )
        )
    return found


def _draw_menu(drawing: _Drawing, panels: list[_Panel], groups: list[str]) -> None:
    """Draw every group at the same place, the first one shown, and a menu that changes it."""
    figure = drawing[0]
    spans, arrows = [], []
    for panel in panels:
        start, figure.layout.annotations = len(figure.data), ()
        _draw_panel(drawing, panel)
        _explain(drawing, is_dashed=panel.is_dashed)
        spans.append(range(start, len(figure.data)))
        arrows.append([a.to_plotly_json() for a in figure.layout.annotations])
    figure.layout.annotations = arrows[0]
    for i, trace in enumerate(figure.data):
        trace.visible = i in spans[0]
    shown = [[i in span for i in range(len(figure.data))] for span in spans]
    group_menu(
        figure,
        groups,
        [[{"visible": v}, {"annotations": a}] for v, a in zip(shown, arrows, strict=True)],
    )


def _reach(edges: Table, view: GraphView) -> float:
    if view.weight not in edges.frame:
        return 1.0
    sizes = pd.to_numeric(edges[view.weight], errors="coerce").abs()
    return float(sizes.max()) if sizes.notna().any() and sizes.max() > 0 else 1.0


def _draw_panel(drawing: _Drawing, panel: _Panel) -> None:
    figure, nodes, edges, view = drawing
    for edge in panel.edges:
        ends = [panel.places[str(edge[c])] for c in (view.cause, view.effect)]
        weight = _number(edge.get(view.weight))
        size = abs(weight or 0) / panel.reach if view.weight in edges.frame else 0.3
        width = 1.2 + (_WIDEST - 1.2) * size
        share = _number(edge.get(view.stability)) if view.stability else None
        colour = faded(
            PALETTE[1] if weight is not None and weight < 0 else PALETTE[0],
            0.85 if share is None else 0.15 + 0.75 * min(max(share, 0.0), 1.0),
        )
        look = (colour, width)
        head = [_along(ends, 0.9), ends[1]] if panel.is_dashed else ends
        if panel.is_dashed:
            figure.add_trace(_shaft(ends, look), row=panel.row, col=panel.column)
        figure.add_annotation(**_arrow(head, edge, panel.axis, look))
        handle = _handle(ends, edge, edges, view)
        if len(panel.edges) <= _MOST_NUMBERED:
            handle.update(mode="markers+text", text=[_weight_words(edge, edges, view)])
        figure.add_trace(handle, row=panel.row, col=panel.column)
    figure.add_trace(_node_trace(nodes, view, panel.places), row=panel.row, col=panel.column)


def _arrow(
    ends: list[tuple[float, float]], edge: dict[Any, Any], axis: str, look: tuple[str, float]
) -> dict[str, Any]:
    (x0, y0), (x1, y1) = ends
    colour, width = look
    mark = str(edge.get("mark") or "directed")
    return {
        "x": x1,
        "y": y1,
        "ax": x0,
        "ay": y0,
        **{key: f"{letter}{axis}" for key, letter in _REFERENCES},
        "showarrow": True,
        "arrowhead": 0 if mark == "undirected" else 2,
        "arrowside": {"undirected": "none", "bidirected": "end+start"}.get(mark, "end"),
        "startarrowhead": 2,
        "arrowsize": max(0.4, 1.5 / width**0.6),
        "arrowwidth": width,
        "arrowcolor": colour,
        "standoff": 18,
        "startstandoff": 18,
        "text": "",
    }


_REFERENCES = (("xref", "x"), ("yref", "y"), ("axref", "x"), ("ayref", "y"))


def _along(ends: list[tuple[float, float]], share: float) -> tuple[float, float]:
    (x0, y0), (x1, y1) = ends
    return x0 + share * (x1 - x0), y0 + share * (y1 - y0)


def _shaft(ends: list[tuple[float, float]], look: tuple[str, float]) -> go.Scatter:
    """Draw the dashed part of an arrow; arrows of a figure cannot be dashed themselves."""
    start, end = _along(ends, 0.08), _along(ends, 0.9)
    return go.Scatter(
        x=[start[0], end[0]],
        y=[start[1], end[1]],
        mode="lines",
        line={"color": look[0], "width": look[1], "dash": "dash"},
        hoverinfo="skip",
        showlegend=False,
    )


def _handle(
    ends: list[tuple[float, float]], edge: dict[Any, Any], edges: Table, view: GraphView
) -> go.Scatter:
    x, y = _along(ends, 0.55)
    return go.Scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={"size": 14, "color": "rgba(0,0,0,0)"},
        hovertext=[_edge_words(edge, edges, view)],
        hovertemplate="%{hovertext}<extra></extra>",
        textposition="middle right",
        textfont={"size": 11},
        showlegend=False,
    )


def _edge_words(edge: dict[Any, Any], edges: Table, view: GraphView) -> str:
    words = [f"{figure_text(edge[view.cause])} → {figure_text(edge[view.effect])}"]
    unit = figure_text(edges.columns.get(view.weight, Column()).unit)
    words += [f"{told} {unit}" for told in [_weight_words(edge, edges, view)] if told]
    shown = {view.cause, view.effect, view.weight, view.group}
    words += [
        f"{figure_text(str(k).replace('_', ' '))}: {_plain(v)}"
        for k, v in edge.items()
        if k not in shown and _plain(v)
    ]
    return "<br>".join(words)


def _weight_words(edge: dict[Any, Any], edges: Table, view: GraphView) -> str:
    """Return the size of an edge with its interval, empty where it has none."""
    weight = _number(edge.get(view.weight))
    if weight is None:
        return ""
    about = edges.columns.get(view.weight, Column())
    low, high = _number(edge.get(about.low)), _number(edge.get(about.high))
    band = f" [{number(low, low, high)}, {number(high, low, high)}]" if low is not None else ""
    return f"{number(weight, low, high)}{band}"


def _node_trace(
    nodes: Table, view: GraphView, places: dict[str, tuple[float, float]]
) -> go.Scatter:
    records = nodes.frame.to_dict("records")
    names = [str(record[view.node]) for record in records]
    latent = [bool(record.get("latent", False)) for record in records]
    return go.Scatter(
        x=[places[name][0] for name in names],
        y=[places[name][1] for name in names],
        mode="markers+text",
        marker={
            "size": 26,
            "symbol": ["circle" if hidden else "square" for hidden in latent],
            "color": "rgba(128,128,128,0.25)",
            "line": {"width": 1.5, "color": CONTROL},
        },
        text=[figure_text(record[view.label or view.node]) for record in records],
        textposition=[label_side(places, name) for name in names],
        textfont={"size": 12},
        hovertext=[
            "<br>".join(f"{figure_text(k)}: {_plain(v)}" for k, v in r.items() if _plain(v))
            for r in records
        ],
        hovertemplate="%{hovertext}<extra></extra>",
        showlegend=False,
    )


def _explain(drawing: _Drawing, *, is_dashed: bool) -> None:
    figure, nodes, edges, view = drawing
    unit = edges.columns.get(view.weight, Column()).unit
    size = f"width: size of {view.weight.replace('_', ' ')}{f' ({unit})' if unit else ''}"
    words = [size, "blue raises, vermilion lowers"] if view.weight in edges.frame else []
    if view.stability:
        words.append(f"opacity: {view.stability.replace('_', ' ')}")
    if told := nodes.columns.get(view.label, Column()).help:
        words.append(told.rstrip("."))
    if is_dashed:
        words.append("dashed: the direction is not identified")
    figure.add_annotation(
        text="<br>".join(map(figure_text, wrap(" · ".join(words), _LONGEST_LINE))),
        align="left",
        xref="paper",
        yref="paper",
        x=0,
        y=-0.02,
        xanchor="left",
        yanchor="top",
        showarrow=False,
        font={"size": 11},
    )


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _plain(value: Any) -> str:
    if isinstance(value, dict | list):
        return figure_text(value, limit=80)
    if value is None or pd.isna(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else figure_text(value)
