"""Deterministic Boolean systems and what would have been, solved by search with backtracking."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from workbench.errors import DataError

Truth = Mapping[str, bool]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """When an event occurs: by one cause, or by two joined with `and` or `or`; signs may be not."""

    causes: tuple[str, ...]
    signs: tuple[bool, ...]
    joined: str = "or"

    def holds(self, world: Truth) -> bool:
        """Whether the event occurs where its causes are known."""
        found = [world[c] is sign for c, sign in zip(self.causes, self.signs, strict=True)]
        return all(found) if self.joined == "and" else any(found)


@dataclass(frozen=True, kw_only=True)
class System:
    """Events with a rule each; the others are exogenous.

    Raises:
        DataError: an event causes itself.
    """

    rules: Mapping[str, Rule]

    @property
    def order(self) -> tuple[str, ...]:
        """All events, causes first."""
        try:
            graph = {event: rule.causes for event, rule in self.rules.items()}
            return tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise DataError(f"{' → '.join(error.args[1])} is a circle of causes") from error

    @property
    def exogenous(self) -> tuple[str, ...]:
        """The events without a rule."""
        return tuple(v for v in self.order if v not in self.rules)

    def solve(self, roots: Truth, do: Truth) -> dict[str, bool]:
        """Return every event where the exogenous ones are known and some are set."""
        world: dict[str, bool] = {}
        for event in self.order:
            if event in do:
                world[event] = do[event]
            else:
                rule = self.rules.get(event)
                world[event] = rule.holds(world) if rule else roots[event]
        return world


@dataclass(frozen=True, kw_only=True)
class Counterfactual:
    """What was observed, what is set instead, and the event asked about with its wanted value."""

    observed: Truth
    do: Truth
    event: str
    wanted: bool = True


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Whether the event has the wanted value; None where the observations leave it open."""

    is_yes: bool | None
    proof: tuple[str, ...]


def worlds(system: System, observed: Truth) -> Iterator[dict[str, bool]]:
    """Yield every setting of the exogenous events that gives the observations, by backtracking.

    A branch is left as soon as an observed event that its settings decide comes out wrong.
    """
    yield from _search(system, observed, system.exogenous, {})


def _search(
    system: System, observed: Truth, left: Sequence[str], roots: dict[str, bool]
) -> Iterator[dict[str, bool]]:
    known = _decided(system, roots)
    if any(known.get(event, value) != value for event, value in observed.items()):
        return
    if not left:
        yield dict(roots)
        return
    event, rest = left[0], left[1:]
    for value in [observed[event]] if event in observed else [True, False]:
        yield from _search(system, observed, rest, {**roots, event: value})


def _decided(system: System, roots: Truth) -> dict[str, bool]:
    """Return the events that some exogenous ones decide already."""
    known = dict(roots)
    for event in system.order:
        rule = system.rules.get(event)
        if rule is None:
            continue
        seen = [
            known[c] is sign for c, sign in zip(rule.causes, rule.signs, strict=True) if c in known
        ]
        is_settled = (rule.joined == "and" and False in seen) or (
            rule.joined == "or" and True in seen
        )
        if is_settled or len(seen) == len(rule.causes):
            known[event] = all(seen) if rule.joined == "and" else any(seen)
    return known


def would_be(system: System, asked: Counterfactual) -> Solution:
    """Say whether an event would have the wanted value: abduct, act, predict.

    Raises:
        DataError: an event is not in the system, or the observations contradict its rules.
    """
    strange = {asked.event, *asked.do, *asked.observed} - set(system.order)
    if strange:
        raise DataError(f"{', '.join(sorted(strange))} is not among {', '.join(system.order)}")
    found: dict[bool, dict[str, bool]] = {}
    for roots in worlds(system, asked.observed):
        world = system.solve(roots, asked.do)
        found.setdefault(world[asked.event] is asked.wanted, world)
        if len(found) > 1:
            break
    if not found:
        raise DataError("no state of the exogenous events gives what was observed")
    told = tuple(_told(system, world, asked) for world in found.values())
    return Solution(is_yes=next(iter(found)) if len(found) == 1 else None, proof=told)


def _told(system: System, world: Truth, asked: Counterfactual) -> str:
    steps = []
    for event in system.order:
        rule = system.rules.get(event)
        why = "set" if event in asked.do else "given" if rule is None else worded(rule)
        steps.append(f"{event}={int(world[event])} ({why})")
    return ", ".join(steps)


def worded(rule: Rule) -> str:
    """Return a rule as its causes."""
    parts = [c if sign else f"not {c}" for c, sign in zip(rule.causes, rule.signs, strict=True)]
    return f" {rule.joined} ".join(parts)
