"""Charts of a hierarchical fit."""

from collections.abc import Mapping

from workbench.result.tables import Table
from workbench.result.views import Bars, GraphView, Heatmap, View


def report_views(tables: Mapping[str, Table]) -> tuple[View, ...]:
    """List what to draw, most telling first."""
    views = list(_ALWAYS)
    if "sensitivity" in tables:
        views.append(_SENSITIVITY)
    return tuple(views)


_SENSITIVITY = Bars(
    "The same fit under other choices",
    "sensitivity",
    x="variant",
    y="max_inexactness",
    control="random_rows",
)
_ALWAYS: tuple[View, ...] = (
    GraphView(
        "Capabilities and direct effects",
        "latents",
        "edges",
        node="capability",
        stability="stability",
        group="domain",
        label="label",
        menu=True,
    ),
    Bars(
        "Every order beside random rotations", "orders", x="order", y="score", control="null_median"
    ),
    Bars("How often each order wins", "orders", x="order", y="frequency"),
    Heatmap(
        "Distances between subspaces of domains",
        "distances",
        row="first",
        column="second",
        value="distance",
    ),
    Bars("Every choice of domains", "subsets", x="domains", y="max_inexactness"),
    Heatmap(
        "R² of benchmarks as anchors",
        "anchors",
        row="capability",
        column="benchmark",
        value="r_squared",
    ),
)
