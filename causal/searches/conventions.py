"""Other libraries' matrices turned into (cause, effect) edges; the only place that knows them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

TAIL, ARROW, CIRCLE = -1, 1, 2


class Link(NamedTuple):
    """An edge between two named variables.

    `directed`: cause → effect. `possible`: effect does not cause cause (o→). `bidirected`: a
    hidden common cause. `undirected`: the direction is not determined. `circle`: nothing is.
    Ends that are alike stand in the order of their names, so that an edge is one link.
    """

    cause: str
    effect: str
    mark: str
    weight: float | None = None


def links_of_marks(graph: Shaped[np.ndarray, "n_var n_var"], names: Sequence[str]) -> list[Link]:
    """Read the endpoint marks of causal-learn: graph[i, j] is the mark at i of the edge i — j.

    i → j is graph[j, i] = 1 (arrow at j) and graph[i, j] = -1 (tail at i).
    """
    links = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            at_i, at_j = int(graph[i, j]), int(graph[j, i])
            if at_i or at_j:
                links.append(_link(names[i], names[j], at_i, at_j))
    return links


def _link(i: str, j: str, at_i: int, at_j: int) -> Link:
    if at_i == ARROW and at_j == ARROW:
        return Link(min(i, j), max(i, j), "bidirected")
    if at_j == ARROW:
        return Link(i, j, "directed" if at_i == TAIL else "possible")
    if at_i == ARROW:
        return Link(j, i, "directed" if at_j == TAIL else "possible")
    mark = "undirected" if at_i == at_j == TAIL else "circle"
    return Link(min(i, j), max(i, j), mark)


def links_of_effects(effects: Float[np.ndarray, "n_var n_var"], names: Sequence[str]) -> list[Link]:
    """Read LiNGAM's matrix, in which effects[i, j] is the effect of j on i."""
    return [
        Link(names[j], names[i], "directed", float(effects[i, j]))
        for i in range(len(names))
        for j in range(len(names))
        if effects[i, j] != 0
    ]
