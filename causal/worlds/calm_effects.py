"""Effects and bounds of CaLM, computed from the probabilities that a text lists."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from causal.worlds.dags import from_edges
from causal.worlds.graph_criteria import ancestors, is_back_door

State = Mapping[str, int]
Signature = tuple[tuple[str, ...], tuple[str, ...]]
LISTED = 1.5e-4
_LISTED = re.compile(r"P\(([^|)]+)(?:\|([^)]+))?\)=([\d.]+)")
_SETTING = re.compile(r"(\w)=(\d)")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What is asked of x and y: the value of y, the first value of x, and what a text lists."""

    kind: str
    x: str
    y: str
    listed: str
    formula: str
    is_upper: bool
    edges: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Law:
    """Probabilities by what they are of and what they are given."""

    tables: Mapping[Signature, Mapping[frozenset[tuple[str, int]], float]]

    @classmethod
    def read(cls, text: str) -> "Law":
        """Take a list such as `P(C=1|A=0)=0.2; P(A=0)=0.4;` apart."""
        tables: dict[Signature, dict[frozenset[tuple[str, int]], float]] = {}
        for of, given, p in _LISTED.findall(text):
            both = [{v: int(x) for v, x in _SETTING.findall(part)} for part in (of, given)]
            signature = (tuple(sorted(both[0])), tuple(sorted(both[1])))
            tables.setdefault(signature, {})[frozenset((both[0] | both[1]).items())] = float(p)
        return cls(tables=tables)

    def p(self, signature: Signature, world: State) -> float | None:
        """Return a probability, by its complement where that is listed; None where neither is."""
        of, given = signature
        table = self.tables.get(signature, {})
        found = table.get(frozenset((v, world[v]) for v in (*of, *given)))
        if found is None and len(of) == 1:
            turned = {**world, of[0]: 1 - world[of[0]]}
            other = table.get(frozenset((v, turned[v]) for v in (*of, *given)))
            found = None if other is None else 1 - other
        return found

    def outcome(self, y: str, x: str) -> Signature | None:
        """Return what y is given x and most else, if that is listed."""
        found = [s for s in self.tables if s[0] == (y,) and x in s[1]]
        return max(found, key=lambda s: len(s[1]), default=None)

    def _held(self, signature: Signature, name: str) -> int | None:
        """Return the only value at which a variable is listed, None where there are two."""
        values = {dict(key)[name] for key in self.tables[signature]}
        return values.pop() if len(values) == 1 else None

    def mean(self, x: str, y: str, value: int, *, told: int, others: int) -> float | None:
        """Return the sum over all else of P(y | x = told, …) times the rest with x = others.

        None where a probability that it needs is not listed.
        """
        main = self.outcome(y, x)
        if main is None:
            return None
        rest = [s for s in self.tables if y not in (*s[0], *s[1])]
        drawn = sorted({v for s in rest for v in s[0]} - {x})
        rest_names = [v for v in main[1] if v not in (x, *drawn)]
        held = {v: at for v in rest_names if (at := self._held(main, v)) is not None}
        if len(held) < len(rest_names):
            return None
        total = 0.0
        for state in product((0, 1), repeat=len(drawn)):
            world = {**held, **dict(zip(drawn, state, strict=True))}
            first = self.p(main, {**world, x: told, y: value})
            weights = [self.p(s, {**world, x: others}) for s in rest]
            if first is None or None in weights:
                return None
            for weight in weights:
                first *= weight or 0.0
            total += first
        return total


@dataclass(frozen=True, kw_only=True)
class Value:
    """What a question asks for and how it was found; None where the text lists too little.

    `rounding` is how far four listed places may move it.
    """

    value: float | None
    told: str
    rounding: float = LISTED


def value_of(asked: Effect) -> Value:
    """Return what a question asks for.

    The query is read off the released formula, its value computed from what is listed; sets that
    are adjusted for are checked by the back-door criterion.

    Source: Pearl 2009, chapters 3 and 4; bounds of Tian & Pearl 2000 for PN and PS.
    """
    law = Law.read(asked.listed)
    main = law.outcome(asked.y, asked.x)
    if main is None:
        return Value(value=None, told="the text does not list the outcome by its cause")
    names = sorted({v for edge in asked.edges for v in edge} | {asked.x, asked.y})
    at = {v: i for i, v in enumerate(names)}
    dag = from_edges(len(at), tuple((at[a], at[b]) for a, b in asked.edges))
    adjusted = [v for v in main[1] if v != asked.x and not ancestors(dag, at[v]) >> at[asked.x] & 1]
    told = f"adjusting for {{{', '.join(adjusted)}}}"
    mask = sum(1 << at[v] for v in adjusted)
    if asked.kind in ("ATE", "PN", "PS") and not is_back_door(dag, at[asked.x], at[asked.y], mask):
        return Value(value=None, told=f"{told} leaves a back door open")
    is_bound = asked.kind in ("PN", "PS")
    value, base = _bound(law, main, asked) if is_bound else (_difference(law, asked), 1.0)
    if value is None:
        return Value(value=None, told="the text leaves out a probability that the answer needs")
    told = f"{asked.kind} of {asked.x} on {asked.y} = {value:.4f}, {told}"
    return Value(value=value, told=told, rounding=LISTED / base)


def _difference(law: Law, asked: Effect) -> float | None:
    x, y, kind = asked.x, asked.y, asked.kind
    settings = _SETTING.findall(asked.formula.replace("_{", " "))
    first = next((int(v) for name, v in settings if name == x), None)
    value = next((int(v) for name, v in settings if name == y), None)
    if first is None or value is None:
        return None
    other = 1 - first
    told, rest = {"NDE": ((first, other), (other, other)), "NIE": ((first, other), (first, first)),
                  "ETT": ((first, first), (other, first))}.get(
                      kind, ((first, first), (other, other)))  # fmt: skip
    one = law.mean(x, y, value, told=told[0], others=told[1])
    if one is None and kind == "ETT":
        one = law.p(((y,), (x,)), {x: first, y: value})
    two = law.mean(x, y, value, told=rest[0], others=rest[1])
    return None if one is None or two is None else one - two


def _bound(law: Law, main: Signature, asked: Effect) -> tuple[float | None, float]:
    """Return a bound and what it is divided by."""
    x, y = asked.x, asked.y
    setting = dict(next(iter(law.tables[main])))
    done = law.mean(x, y, setting[y], told=setting[x], others=setting[x])
    pair: Signature = (tuple(sorted((x, y))), ())
    both = law.p(pair, {x: setting[x], y: setting[y]})
    if asked.is_upper:
        base = law.p(pair, {x: 1 - setting[x], y: 1 - setting[y]})
        top = None if done is None or both is None else done - both
    else:
        base, whole = law.p(pair, {x: 1 - setting[x], y: setting[y]}), law.p(((y,), ()), setting)
        top = None if done is None or whole is None else whole - done
    if top is None or not base:
        return None, 1.0
    return min(1.0, max(0.0, top / base)), base
