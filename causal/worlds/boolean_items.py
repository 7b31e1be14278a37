"""Questions about Boolean systems, drawn with their computed answers."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from causal.worlds.boolean import Counterfactual, Rule, Solution, System, worlds, would_be
from causal.worlds.boolean_text import say_question, say_system
from causal.worlds.invented import invented
from workbench.sampling.items import Item

_TRIES = 400


def draw_pair(
    kind: str, nodes: int, number: int, generator: np.random.Generator
) -> tuple[Item, Item] | None:
    """Draw two questions of a type that differ in one rule and in the answer, None by bad luck."""
    for _ in range(_TRIES):
        system = _system(nodes, generator)
        asked, further = _question(system, kind, generator)
        first = would_be(system, asked)
        if first.is_yes is not True or _is_idle(system, asked):
            continue
        for near in _one_rule_apart(system, generator):
            if next(worlds(near, asked.observed), None) is None:
                continue
            second = would_be(near, asked)
            if second.is_yes is False:
                names = [invented(nodes, generator) for _ in range(2)]
                both = [(system, first), (near, second)]
                one, other = (
                    _item(solved, asked, further, f"{kind}-{number}", names, generator)
                    for solved in both
                )
                return one, other
    return None


def _system(n: int, generator: np.random.Generator) -> System:
    """Draw a system whose events are called v0, v1, …; the first one or two are exogenous."""
    n_roots = 2
    rules = {}
    for i in range(n_roots, n):
        k = 2 if i == n_roots else 1 + int(generator.random() < 0.5)
        # The last event before is always a cause, so that ways get long.
        others = generator.permutation(i - 1)[: k - 1]
        causes = [f"v{i - 1}", *(f"v{int(j)}" for j in others)]
        signs = tuple(bool(x) for x in generator.random(k) < 0.65)
        joined = "and" if generator.random() < 0.5 else "or"
        rules[f"v{i}"] = Rule(causes=tuple(causes), signs=signs, joined=joined)
    return System(rules=rules)


def _question(
    system: System, kind: str, generator: np.random.Generator
) -> tuple[Counterfactual, Mapping[str, bool]]:
    n = len(system.order)
    roots = {v: bool(generator.random() < 0.5) for v in system.exogenous}
    actual = system.solve(roots, {})
    do = {"v1": not actual["v1"]}
    observed = {v: x for v, x in roots.items() if v != "v1"}
    further: dict[str, bool] = {}
    if kind == "basic":
        observed |= {"v1": actual["v1"]}
    if kind == "conditional":
        seen = f"v{int(generator.integers(2, n - 1))}"
        observed = {"v0": actual["v0"], seen: actual[seen]}
    if kind in ("joint", "nested"):
        second = f"v{int(generator.integers(2, n - 1))}"
        do[second] = not actual[second]
        further = {second: do[second]} if kind == "nested" else {}
    wanted = bool(generator.random() < 0.5)
    event = f"v{n - 1}"
    return Counterfactual(observed=observed, do=do, event=event, wanted=wanted), further


def _is_idle(system: System, asked: Counterfactual) -> bool:
    """Whether nothing that is set makes a difference to the event."""
    before = would_be(system, replace(asked, do={}))
    return before.is_yes is would_be(system, asked).is_yes and len(asked.do) > 0


def _one_rule_apart(system: System, generator: np.random.Generator) -> list[System]:
    found = []
    for event, rule in system.rules.items():
        if len(rule.causes) > 1:
            other = "or" if rule.joined == "and" else "and"
            found.append(System(rules={**system.rules, event: replace(rule, joined=other)}))
        for i in range(len(rule.signs)):
            signs = tuple(s != (i == j) for j, s in enumerate(rule.signs))
            found.append(System(rules={**system.rules, event: replace(rule, signs=signs)}))
    return [found[i] for i in generator.permutation(len(found))]


def _renamed(
    system: System, asked: Counterfactual, further: Mapping[str, bool], names: list[str]
) -> tuple[System, Counterfactual, dict[str, bool]]:
    def word(v: str) -> str:
        return names[int(v[1:])]

    def words(truth: Mapping[str, bool]) -> dict[str, bool]:
        return {word(v): x for v, x in truth.items()}

    rules = {
        word(v): replace(rule, causes=tuple(map(word, rule.causes)))
        for v, rule in system.rules.items()
    }
    asked = replace(
        asked, observed=words(asked.observed), do=words(asked.do), event=word(asked.event)
    )
    return System(rules=rules), asked, words(further)


def _item(
    solved: tuple[System, Solution],
    asked: Counterfactual,
    further: Mapping[str, bool],
    group: str,
    names: list[list[str]],
    generator: np.random.Generator,
) -> Item:
    (system, found), kind = solved, group.partition("-")[0]

    def ask(names: list[str], *, mixed: bool = False, reworded: bool = False) -> str:
        mine, question, more = _renamed(system, asked, further, names)
        events = list(mine.rules)
        if mixed:
            events = [events[i] for i in generator.permutation(len(events))]
        return f"{say_system(mine, events)} {say_question(question, more, reworded=reworded)}"

    named = _renamed(system, asked, further, names[0])
    prompt = ask(names[0])
    edges = [[c, event] for event, rule in named[0].rules.items() for c in rule.causes]
    return Item(
        id=f"{group}{'ab'[not found.is_yes]}",
        task="counterbench",
        family=kind,
        prompt=prompt,
        gold=int(not found.is_yes),
        group=group,
        template=f"{kind} {asked.wanted}",
        proof=would_be(named[0], named[1]).proof,
        meta={"edges": edges, "n": len(names[0]), "type": kind},
        spans={"rules": (0, prompt.index(".") + 1)},
        variants={
            "relabelled": ask(names[1]),
            "paraphrased": ask(names[0], reworded=True),
            "reordered": ask(names[0], mixed=True),
        },
    )
