"""Causal models of a few binary variables, solved exactly by summing over every state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from jaxtyping import Float

from causal.worlds.dags import Dag, from_edges, is_acyclic
from causal.worlds.graph_criteria import is_back_door
from workbench.errors import DataError

Values = Mapping[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class BinaryModel:
    """Independent noises and one table per variable: the probability of 1 by its parents' values.

    `tables[v]` has one axis of two for each of `parents[v]`, in their order.

    Raises:
        DataError: a cycle, or a table of another shape or with no probability in it.
    """

    names: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Float[np.ndarray, "..."]]

    def __post_init__(self) -> None:
        """Check every table."""
        unknown = {p for v in self.names for p in self.parents.get(v, ("?",))} - set(self.names)
        if unknown or not is_acyclic(self.dag):
            raise DataError(
                f"unknown parents {sorted(unknown)}" if unknown else "a cycle of causes"
            )
        for v in self.names:
            table = np.asarray(self.tables.get(v, np.nan), dtype=np.float64)
            if table.shape != (2,) * len(self.parents[v]):
                raise DataError(f"the table of {v} has the shape {table.shape}")
            if not ((table >= 0) & (table <= 1)).all():
                raise DataError(f"the table of {v} holds {table.tolist()}; expected probabilities")

    @property
    def dag(self) -> Dag:
        """The graph; node i is the i-th name."""
        at = {v: i for i, v in enumerate(self.names)}
        joined = tuple((at[p], at[v]) for v in self.names for p in self.parents[v] if p in at)
        return from_edges(len(self.names), joined)

    def joint(
        self, do: Values | None = None, *, seen_by: tuple[str, str, int] | None = None
    ) -> Float[np.ndarray, "..."]:
        """Return the probability of every state, one axis per name, under an intervention.

        `seen_by` is (effect, cause, value): the effect alone answers to that value of its cause,
        as in natural direct and indirect effects.
        """
        do, found = do or {}, np.ones((2,) * len(self.names))
        for state in product((0, 1), repeat=len(self.names)):
            value = dict(zip(self.names, state, strict=True))
            for v in self.names:
                given = dict(value)
                if seen_by is not None and seen_by[0] == v:
                    given[seen_by[1]] = seen_by[2]
                one = self.tables[v][tuple(given[p] for p in self.parents[v])]
                p = float(value[v] == do[v]) if v in do else one if value[v] else 1 - one
                found[state] *= p
        return found

    def p(self, event: Values, given: Values | None = None, *, do: Values | None = None) -> float:
        """Return P(event | given) under an intervention.

        Raises:
            DataError: what is given has probability 0.
        """
        joint, given = self.joint(do), given or {}
        both = {**given, **event}
        if any(given.get(v, x) != x for v, x in event.items()):
            return 0.0
        base = joint[self._where(given)].sum()
        if base <= 0:
            raise DataError(f"{dict(given)} never happens")
        return float(joint[self._where(both)].sum() / base)

    def _where(self, known: Values) -> tuple[int | slice, ...]:
        return tuple(known.get(v, slice(None)) for v in self.names)

    def ate(self, x: str = "X", y: str = "Y") -> float:
        """Return E[Y | do(X=1)] − E[Y | do(X=0)]."""
        return self.p({y: 1}, do={x: 1}) - self.p({y: 1}, do={x: 0})

    def ett(self, x: str = "X", y: str = "Y", *, treated: int = 1) -> float:
        """Return E[Y₁ − Y₀ | X = treated], by the parents of X, which block every back door."""
        total = 0.0
        for state in product((0, 1), repeat=len(self.parents[x])):
            pa = dict(zip(self.parents[x], state, strict=True))
            weight = self.p(pa, {x: treated})
            if weight > 0:
                up, down = (self.p({y: 1}, pa, do={x: value}) for value in (1, 0))
                total += weight * (up - down)
        return total

    def nde(self, x: str = "X", y: str = "Y") -> float:
        """Return the natural direct effect: only the edge from X to Y is told of the change."""
        return self._split(x, y, background=0, edge=1)

    def nie(self, x: str = "X", y: str = "Y") -> float:
        """Return the natural indirect effect: all but the edge from X to Y is told of it."""
        return self._split(x, y, background=1, edge=0)

    def _split(self, x: str, y: str, *, background: int, edge: int) -> float:
        changed = self.joint({x: background}, seen_by=(y, x, edge))
        return float(changed[self._where({y: 1})].sum()) - self.p({y: 1}, do={x: 0})

    def counterfactual(self, y: str, *, do: Values, evidence: Values) -> float:
        """Return P(Y = 1 had it been so | evidence) where every cause is deterministic.

        Variables without parents keep their values from the world of the evidence.

        Raises:
            DataError: another variable is random, or the evidence never happens.
        """
        loose = [
            v for v in self.names if self.parents[v] and not set(self.tables[v].flat) <= {0, 1}
        ]
        if loose:
            raise DataError(f"{', '.join(loose)} is random; expected a deterministic model")
        roots = [v for v in self.names if not self.parents[v]]
        total = hit = 0.0
        for state in product((0, 1), repeat=len(roots)):
            world = dict(zip(roots, state, strict=True))
            weight = self.p({**world, **evidence}) if self._agree(world, evidence) else 0.0
            if weight > 0:
                total += weight
                hit += weight * self.p({y: 1}, do={**world, **do})
        if total <= 0:
            raise DataError(f"{dict(evidence)} never happens")
        return hit / total

    @staticmethod
    def _agree(world: Values, evidence: Values) -> bool:
        return all(world.get(v, x) == x for v, x in evidence.items())

    def is_back_door(self, adjusted: Sequence[str], x: str = "X", y: str = "Y") -> bool:
        """Whether adjusting for a set identifies the effect by the back-door criterion."""
        at = {v: i for i, v in enumerate(self.names)}
        return is_back_door(self.dag, at[x], at[y], sum(1 << at[v] for v in adjusted))

    def back_doors(self, x: str = "X", y: str = "Y") -> list[tuple[str, ...]]:
        """Return every set that meets the back-door criterion, the smallest first."""
        rest = [v for v in self.names if v not in (x, y)]
        sets = [s for k in range(len(rest) + 1) for s in combinations(rest, k)]
        return [s for s in sets if self.is_back_door(s, x, y)]
