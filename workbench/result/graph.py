"""Capabilities as nodes, estimated effects as directed edges."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from workbench.errors import UnknownName
from workbench.result.estimate import Estimate


@dataclass(frozen=True, kw_only=True)
class Node:
    """One capability: a measured variable or a latent with the benchmark it is anchored to."""

    name: str
    latent: bool = False
    anchor: str = ""
    r_squared: float | None = None
    facts: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One edge from cause to effect.

    `assumption` names what orients it. An undirected or bidirected edge says so in `mark`.
    `stability` is the share of bootstrap resamples that hold the edge; `group` the domain.
    """

    cause: str
    effect: str
    weight: Estimate | None = None
    mark: str = "directed"
    assumption: str = ""
    stability: float | None = None
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class CapabilityGraph:
    """A fitted graph with the verdict whether the data identify it."""

    nodes: tuple[Node, ...]
    edges: tuple[Effect, ...]
    order: tuple[str, ...] = ()
    identified: bool | None = None
    verdict: str = ""
    method: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def effect(self, cause: str, effect: str, *, group: str = "") -> Estimate:
        """Return the direct effect of one capability on another.

        Raises:
            UnknownName: the graph has no such edge.
        """
        for edge in self.edges:
            if (edge.cause, edge.effect, edge.group) == (cause, effect, group) and edge.weight:
                return edge.weight
        known = ", ".join(f"{e.cause} → {e.effect} {e.group}".strip() for e in self.edges)
        raise UnknownName(f"no edge {cause} → {effect} {group}".strip() + f"; known: {known}")

    def distance(self, other: "CapabilityGraph") -> int:
        """Return the structural Hamming distance: pairs whose edge differs."""
        mine, theirs = _pairs(self), _pairs(other)
        return sum(mine.get(pair) != theirs.get(pair) for pair in mine.keys() | theirs.keys())

    def as_dict(self) -> dict[str, Any]:
        """Return the graph as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CapabilityGraph":
        """Rebuild a graph from plain values."""
        fields = dict(values)
        fields["nodes"] = tuple(Node(**node) for node in fields["nodes"])
        fields["edges"] = tuple(_effect(edge) for edge in fields["edges"])
        fields["order"] = tuple(fields["order"])
        return cls(**fields)


def _effect(values: Mapping[str, Any]) -> Effect:
    weight = values.get("weight")
    return Effect(**{**values, "weight": Estimate(**weight) if weight else None})


def _pairs(graph: CapabilityGraph) -> dict[tuple[str, frozenset[str]], tuple[str, str, str]]:
    return {
        (edge.group, frozenset((edge.cause, edge.effect))): (edge.cause, edge.effect, edge.mark)
        for edge in graph.edges
    }
