"""Boolean systems in words, and back: our wording and that of released questions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from causal.worlds.boolean import Counterfactual, Rule, System, worded
from workbench.errors import DataError

TYPES = ("basic", "conditional", "joint", "nested")
_EVENT = r"(?:not )?[A-Za-z]\w*"
_LIST = rf"{_EVENT}(?:(?:,? and |,? or |, ){_EVENT})*"
_JOINED = rf"{_EVENT}(?: (?:and|or) {_EVENT})*"
_RULE = re.compile(rf"(?P<causes>{_JOINED}) causes? (?P<effects>{_JOINED})")
_CLAUSES = re.compile(r"[,;.](?: and)? (?:[Ww]e know that )?|^[Ww]e know that ")
_OBSERVED = re.compile(
    rf"(?:We|we) (?:also )?(?:observed?|know|see)(?: that)? (?P<events>{_LIST})\."
)
_ASKED = re.compile(
    rf"Would (?P<event>{_EVENT}) (?:occur|have occurred|happen|hold)(?: or not)? if (?P<do>{_LIST})"
    r"(?: had occurred)?(?: instead of [^,?.;]+)?(?P<rest>[^?]*)\?"
)
_FURTHER = re.compile(
    rf"(?:suppose|assume|assuming|supposing|if)(?: further| that| also)* (?P<events>{_LIST})",
    re.IGNORECASE,
)
_WORDS = re.compile(r",? and |, | or ")


def events_of(text: str) -> dict[str, bool]:
    """Return the events of a list, each with whether it occurs.

    Raises:
        DataError: an event is said to occur and not to.
    """
    found: dict[str, bool] = {}
    for part in _WORDS.split(text.strip()):
        name = part.removeprefix("not ").strip()
        value = not part.startswith("not ")
        if found.setdefault(name, value) is not value:
            raise DataError(f"{name} is said to occur and not to occur")
    return found


def say_system(system: System, events: Sequence[str]) -> str:
    """Word the rules of those events in the order given."""
    return f"We know that {', '.join(f'{worded(system.rules[e])} causes {e}' for e in events)}."


def say_events(events: Mapping[str, bool]) -> str:
    """Word some events as a list."""
    return " and ".join(name if value else f"not {name}" for name, value in events.items())


def say_question(asked: Counterfactual, further: Mapping[str, bool], *, reworded: bool) -> str:
    """Word a question; `further` is what it supposes beyond what is set at first."""
    first = {k: v for k, v in asked.do.items() if k not in further}
    event = say_events({asked.event: asked.wanted})
    seen = f"We observed {say_events(asked.observed)}. " if asked.observed else ""
    turned = say_events({k: not v for k, v in first.items()})
    told = say_events(first)
    if reworded:
        also = f" Suppose further {say_events(further)}." if further else ""
        return f"{seen}Suppose {told}.{also} Would {event} then occur?"
    also = f", and suppose further {say_events(further)}" if further else ""
    return f"{seen}Would {event} occur if {told} instead of {turned}{also}?"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A question taken apart."""

    system: System
    asked: Counterfactual


def read_question(text: str) -> Reading:
    """Take a system and a question apart.

    What causes two events by one rule is two rules. `instead of …` says what is not so and is left
    out; what is supposed further is set as well.

    Raises:
        DataError: there is no rule or no question, or two rules for one event.
    """
    text = " ".join(text.split())
    question = _ASKED.search(text)
    if question is None:
        raise DataError("no question 'Would EVENT occur if …?' was found")
    rules: dict[str, Rule] = {}
    for found in filter(None, map(_RULE.fullmatch, _CLAUSES.split(text[: question.start()]))):
        rule = _rule(found["causes"])
        for event, is_same in events_of(found["effects"]).items():
            mine = rule if is_same else _negated(rule)
            if rules.setdefault(event, mine) != mine:
                raise DataError(f"two rules for {event}")
    if not rules:
        raise DataError("no rule 'A causes B' was found")
    do = events_of(question["do"])
    for more in _FURTHER.finditer(question["rest"]):
        do |= events_of(more["events"])
    observed: dict[str, bool] = {}
    for seen in _OBSERVED.finditer(text[: question.start()]):
        observed |= events_of(seen["events"])
    (event, wanted), *_ = events_of(question["event"]).items()
    asked = Counterfactual(observed=observed, do=do, event=event, wanted=wanted)
    return Reading(system=System(rules=rules), asked=asked)


def _rule(text: str) -> Rule:
    parts = [p.strip() for p in _WORDS.split(text)]
    is_or, is_and = " or " in text, " and " in text
    if is_or and is_and:
        raise DataError(f"the rule {text!r} joins by and and by or", hint="one of them per rule")
    return Rule(
        causes=tuple(p.removeprefix("not ") for p in parts),
        signs=tuple(not p.startswith("not ") for p in parts),
        joined="and" if is_and else "or",
    )


def _negated(rule: Rule) -> Rule:
    flipped = {"and": "or", "or": "and"}[rule.joined]
    return Rule(causes=rule.causes, signs=tuple(not s for s in rule.signs), joined=flipped)
