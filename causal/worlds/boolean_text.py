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
_RULE = re.compile(rf"(?P<causes>{_JOINED})(?: together)? causes? (?P<effects>{_JOINED})")
_MORE_EFFECTS = re.compile(_JOINED)
_SENTENCES = re.compile(r"\s*[.;]\s*")
_CLAUSES = re.compile(r",(?: and)? (?:[Ww]e know that )?|^[Ww]e know that ")
_OBSERVED = re.compile(
    rf"[Ww]e (?:also )?(?:observed?|know|see)(?: that)? (?P<events>{_LIST})\s*(?:[.;]|$)"
)
_OCCUR = r"(?:occur|have occurred|happen|hold)(?: or not)?"
_ASKED = re.compile(
    rf"Would (?P<event>{_EVENT}) {_OCCUR} if (?P<do>{_LIST})"
    r"(?: had occurred)?(?: instead of [^,?.;]+)?(?P<rest>[^?]*)\?"
)
_SUPPOSED_FIRST = re.compile(
    rf"(?P<rest>\b(?:[Aa]ssume|[Ss]uppose) [^?]*)\bWould (?P<event>{_EVENT}) (?:then )?{_OCCUR}\?"
)
_UPON_THIS = re.compile(r",? (?:and )?based on this assumption,?")
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
        DataError: there is no rule or no question, a rule cannot be read, or an event has two.
    """
    text = _UPON_THIS.sub(";", " ".join(text.split()))
    question = _ASKED.search(text) or _SUPPOSED_FIRST.search(text)
    if question is None:
        raise DataError("no question 'Would EVENT occur if …?' was found")
    facts, told = text[: question.start()].strip(), question.groupdict()
    do = events_of(told["do"]) if "do" in told else {}
    for more in _FURTHER.finditer(told["rest"]):
        do |= events_of(more["events"])
    observed: dict[str, bool] = {}
    for seen in _OBSERVED.finditer(facts):
        observed |= events_of(seen["events"])
    (event, wanted), *_ = events_of(told["event"]).items()
    asked = Counterfactual(observed=observed, do=do, event=event, wanted=wanted)
    return Reading(system=System(rules=_rules(facts)), asked=asked)


def _rules(facts: str) -> dict[str, Rule]:
    """Read every sentence that tells of causes; a clause left unread would change the answer."""
    rules: dict[str, Rule] = {}
    for sentence in _SENTENCES.split(facts):
        if not re.search(r"\bcauses?\b", sentence):
            continue
        rule: Rule | None = None
        for clause in filter(None, _CLAUSES.split(sentence)):
            found = _RULE.fullmatch(clause)
            if found:
                rule = _rule(found["causes"])
            elif rule is None or not _MORE_EFFECTS.fullmatch(clause):
                raise DataError(f"the clause {clause[:60]!r} is no rule", hint="'A causes B'")
            for event, is_same in events_of(found["effects"] if found else clause).items():
                mine = rule if is_same else _negated(rule)
                if rules.setdefault(event, mine) != mine:
                    raise DataError(f"two rules for {event}")
    if not rules:
        raise DataError("no rule 'A causes B' was found")
    return rules


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
