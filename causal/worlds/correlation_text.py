"""Statistical relations in words: premises and hypotheses, ours and those that were released."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from causal.worlds.dags import Pattern, Separation, bits, separations
from workbench.errors import DataError

OWN = {
    "parent": "{x} is a direct cause of {y}.",
    "child": "{y} is a direct cause of {x}.",
    "ancestor": "{x} is a cause of {y} by way of another variable.",
    "descendant": "{y} is a cause of {x} by way of another variable.",
    "collider": "Some variable is an effect of {x} and of {y}.",
    "confounder": "Some variable is a cause of {x} and of {y}.",
}
REWORDED = {
    "parent": "Nothing stands between {x} and its effect {y}.",
    "child": "Nothing stands between {y} and its effect {x}.",
    "ancestor": "{x} acts on {y} through some mediator.",
    "descendant": "{y} acts on {x} through some mediator.",
    "collider": "{x} and {y} have an effect in common.",
    "confounder": "{x} and {y} have a cause in common.",
}
RELEASED = {
    "parent": "{x} directly causes {y}.",
    "ancestor": "{x} causes something else which causes {y}.",
    "child": "{y} directly causes {x}.",
    "descendant": "{y} is a cause for {x}, but not a direct one.",
    "collider": "There exists at least one collider (i.e., common effect) of {x} and {y}.",
    "confounder": "There exists at least one confounder (i.e., common cause) of {x} and {y}.",
}
RELEASED_REWORDED = {
    "parent": "{x} directly affects {y}.",
    "child": "{y} directly affects {x}.",
    "ancestor": "{x} influences {y} through some mediator(s).",
    "descendant": "{y} influences {x} through some mediator(s).",
    "collider": "{x} and {y} together cause some other variable(s).",
    "confounder": "Some variable(s) cause(s) both {x} and {y}.",
}
BRIEF = {
    "parent": "{x} causes {y}?",
    "child": "{y} causes {x}?",
    "ancestor": "{x} leads to {y}?",
    "descendant": "{y} leads to {x}?",
    "collider": "{x} and {y} have an effect?",
    "confounder": "{x} and {y} have a cause?",
}
# A child template with x and y exchanged reads as a parent template: the first that fits is meant.
WORDINGS = (OWN, REWORDED, RELEASED, RELEASED_REWORDED)

_NAME = r"([A-Za-z]\w*)"
_APART = re.compile(
    rf"\b{_NAME} (?:is independent of {_NAME}|and {_NAME} are (?:conditionally )?independent)"
    r"(?: given ([^.]+))?\."
)
_TOGETHER = re.compile(rf"\b{_NAME} (?:correlates|is correlated) with {_NAME}", re.IGNORECASE)
_SPLIT = re.compile(r",\s*(?:and\s+)?|\s+and\s+")
_COUNT = re.compile(r"(\d+) variables,? (?:named )?(.+?)(?:, and no others)?\.")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A premise and a hypothesis taken apart; x and y are nodes of `names`."""

    names: tuple[str, ...]
    separations: frozenset[Separation]
    relation: str
    x: int
    y: int

    @property
    def pattern(self) -> Pattern:
        """The class that the premise determines.

        Raises:
            DataError: no graph has exactly these separations.
        """
        return pattern_of(len(self.names), self.separations)


def listed(names: Sequence[str]) -> str:
    """Return names joined as a sentence lists them."""
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]


def premise(names: Sequence[str], found: Sequence[Separation], *, wording: str = "own") -> str:
    """Say which pairs are dependent, and then every independence in the order given."""
    free = {(x, y) for x, y, z in found if not z}
    pairs = [p for p in combinations(range(len(names)), 2) if p not in free]
    if wording == "brief":
        return _brief(names, pairs, found)
    is_own = wording == "own"
    verb = "is correlated with" if is_own else "correlates with"
    told = [f"{names[x]} {verb} {names[y]}." for x, y in pairs]
    apart = [_apart(names, s, is_own=is_own) for s in found]
    if told and apart:
        apart[0] = f"{'But' if is_own else 'However,'} {apart[0]}"
    n, all_names = len(names), listed(names)
    opener = (
        f"Consider {n} variables named {all_names}, and no others. All of their statistical "
        "relations are these."
        if is_own
        else f"Suppose there is a closed system of {n} variables, {all_names}. All the statistical "
        f"relations among these {n} variables are as follows:"
    )
    return " ".join([opener, *told, *apart])


def _brief(
    names: Sequence[str], pairs: Sequence[tuple[int, int]], found: Sequence[Separation]
) -> str:
    """Say the same in few tokens, for small networks."""
    together = "; ".join(f"{names[x]} {names[y]}" for x, y in pairs)
    apart = "; ".join(
        f"{names[x]} {names[y]}" + "".join(f"{' given' if not i else ''} {names[v]}"
                                           for i, v in enumerate(bits(z)))
        for x, y, z in found
    )  # fmt: skip
    return f"{', '.join(names)}. Correlated: {together or 'none'}. Independent: {apart or 'none'}."


def _apart(names: Sequence[str], found: Separation, *, is_own: bool) -> str:
    x, y, z = found
    if not z and not is_own:
        return f"{names[x]} is independent of {names[y]}."
    given = f" given {listed([names[v] for v in bits(z)])}" if z else ""
    return f"{names[x]} and {names[y]} are independent{given}."


def read_statement(premise_text: str, hypothesis: str) -> Statement:
    """Take a premise and a hypothesis apart, in our wording or a released one.

    Raises:
        DataError: what cannot be read is named.
    """
    names = _names(premise_text)
    at = {name: i for i, name in enumerate(names)}
    apart = set()
    for a, b, given in _independences(premise_text):
        strange = [v for v in (a, b, *given) if v not in at]
        if strange:
            raise DataError(f"the premise does not introduce {', '.join(strange)}")
        x, y = sorted((at[a], at[b]))
        apart.add((x, y, sum(1 << at[v] for v in given)))
    told = {
        tuple(sorted((at.get(a, -1), at.get(b, -1)))) for a, b in _TOGETHER.findall(premise_text)
    }
    both = {(x, y) for x, y, z in apart if not z} & told
    if both:
        x, y = min(both)
        raise DataError(f"{names[x]} and {names[y]} are called correlated and independent")
    relation, x_name, y_name = _hypothesis(hypothesis)
    if not {x_name, y_name} <= set(names) or x_name == y_name:
        raise DataError(f"the hypothesis is about {x_name} and {y_name}; known: {', '.join(names)}")
    return Statement(
        names=names, separations=frozenset(apart), relation=relation, x=at[x_name], y=at[y_name]
    )


def _names(text: str) -> tuple[str, ...]:
    found = _COUNT.search(text)
    names = tuple(_SPLIT.split(found[2])) if found else ()
    if found is None or len(names) != int(found[1]) or len(set(names)) != len(names):
        raise DataError(
            f"the premise begins {text[:60]!r}; expected the number of variables and their names",
            hint="'... 3 variables, A, B and C. ...'",
        )
    return names


def _independences(text: str) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (a, b or c, tuple(_SPLIT.split(given.strip())) if given else ())
        for a, b, c, given in _APART.findall(text)
    ]


def _hypothesis(text: str) -> tuple[str, str, str]:
    bare = " ".join(text.split()).rstrip(".")
    for wording in WORDINGS:
        for relation, template in wording.items():
            form = re.escape(template.rstrip(".")).replace(r"\{x\}", r"(?P<x>\w+)")
            found = re.fullmatch(form.replace(r"\{y\}", r"(?P<y>\w+)"), bare)
            if found:
                return relation, found["x"], found["y"]
    raise DataError(f"the hypothesis {text[:80]!r} has none of the known forms")


def pattern_of(n: int, found: frozenset[Separation]) -> Pattern:
    """Return the class whose separations are these and no others.

    Raises:
        DataError: there is none, so that the premise is not that of any graph.
    """
    pattern = Pattern.from_separations(n, found)
    members = pattern.members()
    if not members:
        raise DataError("no graph without cycles has these independences")
    truth = separations(members[0])
    if truth != found:
        raise DataError(
            f"no graph has exactly these independences: the nearest lacks {len(found - truth)} of "
            f"them and has {len(truth - found)} more"
        )
    return pattern
