"""The six relations of two nodes, and whether all graphs of a class agree on them."""

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

from causal.worlds.dags import Dag, bits, children

RELATIONS = ("parent", "child", "ancestor", "descendant", "collider", "confounder")

DEFINITION = "paths"
"""Colliders and confounders by simple paths with both arms, not by reachability."""


@lru_cache(maxsize=1 << 16)
def holds(dag: Dag, relation: str, x: int, y: int) -> bool:
    """Whether a relation of x to y holds in a graph.

    `parent` and `child`: an edge from x to y, or from y to x. `ancestor` and `descendant`: a
    directed path of two edges or more, an edge beside it or not. `collider`: a simple path from
    x that runs forwards and then backwards to y; `confounder`: one that runs backwards and then
    forwards; both parts hold an edge at least.

    Source: Jin et al. 2024, arXiv:2306.05836, section 3.3 and released labels.
    """
    if relation in ("child", "descendant"):
        return holds(dag, {"child": "parent", "descendant": "ancestor"}[relation], y, x)
    if relation == "parent":
        return bool(dag[y] >> x & 1)
    onward = children(dag)
    if relation == "ancestor":
        return any(z != y and _reaches(onward, z, y) for z in bits(onward[x]))
    first, second = (onward, dag) if relation == "collider" else (dag, onward)
    return _turns(first, second, x, y, 1 << x)


def _reaches(step: Sequence[int], x: int, y: int) -> bool:
    return any(z == y or _reaches(step, z, y) for z in bits(step[x]))


def _turns(first: Sequence[int], second: Sequence[int], at: int, y: int, seen: int) -> bool:
    """Whether a simple path goes on by first steps, one at least, and then by second ones to y."""
    for z in bits(first[at] & ~seen):
        if z == y:
            continue
        if _arrives(second, z, y, seen | 1 << z) or _turns(first, second, z, y, seen | 1 << z):
            return True
    return False


def _arrives(step: Sequence[int], at: int, y: int, seen: int) -> bool:
    return any(z == y or _arrives(step, z, y, seen | 1 << z) for z in bits(step[at] & ~seen))


def share(members: Sequence[Dag], relation: str, x: int, y: int) -> Fraction:
    """Return the share of the graphs of a class in which a relation holds."""
    return Fraction(sum(holds(dag, relation, x, y) for dag in members), len(members))


def verdict(of_class: Fraction) -> str:
    """Return entailment where all graphs agree that it holds, contradiction where none does."""
    if of_class == 1:
        return "entailment"
    return "contradiction" if of_class == 0 else "neutral"
