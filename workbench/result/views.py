"""Charts as data: what to draw from a Result, without drawing it.

A view names tables, columns and arrays of its Result; `workbench.figures.draw` turns it into a
figure. Labels and units come from the table's columns.
"""

from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any

from workbench.errors import UnknownName


@dataclass(frozen=True)
class Curve:
    """Lines of one or more columns against another; `control` columns are ghost lines.

    With `group`, one line per value of that column. Bands come from the columns' low and high.
    """

    title: str
    table: str
    _: KW_ONLY
    x: str
    y: tuple[str, ...]
    group: str = ""
    control: tuple[str, ...] = ()
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Bars:
    """One bar per row, with error bars from the column's low and high."""

    title: str
    table: str
    _: KW_ONLY
    x: str
    y: str
    group: str = ""
    control: str = ""


@dataclass(frozen=True)
class Points:
    """A scatter of two columns; `label` is shown on hover, `size` and `color` are columns.

    With `path`, thin lines join the rows of each value of that column in their order.
    """

    title: str
    table: str
    _: KW_ONLY
    x: str
    y: str
    color: str = ""
    label: str = ""
    diagonal: bool = False
    path: str = ""


@dataclass(frozen=True)
class Heatmap:
    """A matrix from an array, or from the long table (row, column, value, text).

    With `group`, one matrix per value of that column, chosen from a menu; all share the colours.
    `details` are more columns to show when a cell is pointed at. Sentences as `text` may take
    several `lines` of a cell.
    """

    title: str
    table: str
    _: KW_ONLY
    row: str
    column: str
    value: str
    text: str = ""
    diverging: bool = False
    group: str = ""
    details: tuple[str, ...] = ()
    lines: int = 1


@dataclass(frozen=True)
class TokenStrip:
    """Tokens in reading order coloured by one column; `rows` are shown aligned below.

    With `group`, one strip per value of that column (one text, one trajectory). Tokens whose
    `flag` holds are underlined; `badge` is a column of words set behind them. `details` is a
    table with more about each token: its rows of the same group and the same value of `key`.
    """

    title: str
    table: str
    _: KW_ONLY
    token: str
    color: str
    rows: tuple[str, ...] = ()
    group: str = ""
    flag: str = ""
    badge: str = ""
    details: str = ""
    key: str = ""


@dataclass(frozen=True)
class GraphView:
    """Nodes and directed edges; `weight` sets the width and `stability` the opacity.

    `label` is a column with what is written beside a node, by default its name. With `menu`,
    groups are chosen from a menu instead of standing side by side.
    """

    title: str
    nodes: str
    edges: str
    _: KW_ONLY
    node: str = "name"
    cause: str = "cause"
    effect: str = "effect"
    weight: str = "weight"
    stability: str = ""
    group: str = ""
    label: str = ""
    menu: bool = False


View = Curve | Bars | Points | Heatmap | TokenStrip | GraphView

_VIEWS: dict[str, type[Any]] = {
    view.__name__: view for view in (Curve, Bars, Points, Heatmap, TokenStrip, GraphView)
}


def view_to_dict(view: View) -> dict[str, Any]:
    """Return a view as plain values with its type name."""
    return {"type": type(view).__name__, **asdict(view)}


def view_from_dict(values: dict[str, Any]) -> View:
    """Rebuild a view from plain values.

    Raises:
        UnknownName: the type is none of ours.
    """
    fields = dict(values)
    name = fields.pop("type")
    if name not in _VIEWS:
        raise UnknownName(f"no view is called {name!r}; known: {', '.join(_VIEWS)}")
    tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    view: View = _VIEWS[name](**tuples)
    return view
