"""Questions of the causal ladder, drawn with whole-percent tables and computed answers."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from causal.worlds.binary_model import BinaryModel
from causal.worlds.invented import invented
from causal.worlds.ladder import GRAPHS, RUNGS, Answer, Query, answer, structure
from workbench.sampling.items import Item

_TRIES = 300
_ASKED = {
    "marginal": ("Does {y} occur in {more} than half of all cases?",
                 "Is {y} {more} common than its absence?"),
    "correlation": ("Is {y} {more} frequent among cases with {x} than among cases without {x}?",
                    "Does seeing {x} make {y} {more} likely?"),
    "exp_away": ("Among cases with {c}, is {y} {more} frequent where {x} occurs?",
                 "Given {c}, does seeing {x} make {y} {more} likely?"),
    "ate": ("Would making {x} occur everywhere make {y} {more} frequent than preventing {x}?",
            "Does forcing {x} to occur {raise_} the chance of {y}?"),
    "ett": ("Among cases where {x} occurs, would {y} have been {more} frequent without {x}?",
            "For cases with {x}, would preventing {x} have made {y} {more} likely?"),
    "nde": ("Setting aside what {x} does by way of others, does {x} {raise_} the chance of {y}?",
            "Does {x} act on {y} directly so as to {raise_} its chance?"),
    "nie": ("By way of others alone, does {x} {raise_} the chance of {y}?",
            "Setting aside what {x} does directly, does {x} {raise_} the chance of {y}?"),
    "backadj": ("To learn what {x} does to {y}, is it right to {first} rather than to {second}?",
                "For the effect of {x} on {y}, should one {first} and not {second}?"),
    "collider_bias": ("Among cases with {c}, {x} and {y} are associated. Does {x} {act} {y}?",
                      "{x} and {y} are related where {c} occurs. Does {x} {act} {y}?"),
    "det-counterfactual": ("Would {y} {occur} if {x} {had} occurred?",
                           "Had {x} {not_}occurred, would {y} have been {there}?"),
}  # fmt: skip
_FIT = {
    "exp_away": ("collision", "arrowhead"),
    "collider_bias": ("collision",),
    "nde": ("mediation", "arrowhead"),
    "nie": ("chain", "mediation", "arrowhead", "diamond", "frontdoor"),
    "backadj": ("confounding", "mediation", "arrowhead", "diamondcut", "IV", "frontdoor", "chain"),
}
_EFFECTS = tuple(name for name in GRAPHS if name != "collision")


def draw_question(
    kind: str, number: int, *, is_yes: bool, margin: float, generator: np.random.Generator
) -> Item | None:
    """Draw a question of a kind with that answer, None by bad luck.

    Values lie `margin` or more from what they are compared with.
    """
    fit = _FIT.get(kind, _EFFECTS)
    for _ in range(_TRIES):
        graph = fit[generator.integers(len(fit))]
        model = _model(graph, generator, is_sure=kind == "det-counterfactual")
        query = _query(kind, model, generator)
        found = answer(model, query)
        zero = 0.5 if kind in ("marginal", "det-counterfactual") else 0.0
        is_clear = kind == "collider_bias" or abs(found.value - zero) >= margin
        if found.is_yes is is_yes and is_clear:
            names = [invented(len(model.names), generator) for _ in range(2)]
            return _item(model, query, found, f"{kind}-{number}", names, generator)
    return None


def _model(graph: str, generator: np.random.Generator, *, is_sure: bool) -> BinaryModel:
    parents = structure(GRAPHS[graph])
    tables = {}
    for v, pa in parents.items():
        shape = (2,) * len(pa)
        drawn = generator.integers(5, 96, size=shape) / 100
        if is_sure and pa:
            drawn = generator.integers(0, 2, size=shape).astype(np.float64)
        tables[v] = np.asarray(drawn)
    return BinaryModel(names=tuple(parents), parents=parents, tables=tables)


def _query(kind: str, model: BinaryModel, generator: np.random.Generator) -> Query:
    polarity = bool(generator.random() < 0.5)
    if kind == "backadj":
        rest = [v for v in model.names if v not in ("X", "Y")]
        one = tuple(v for v in rest if generator.random() < 0.5)
        return Query(kind=kind, sets=(one, tuple(v for v in rest if v not in one)))
    if kind == "det-counterfactual":
        roots = [v for v in model.names if not model.parents[v] and v != "X"]
        seen = {v: int(generator.random() < 0.5) for v in roots}
        action = int(generator.random() < 0.5)
        return Query(kind=kind, polarity=polarity, action=action, evidence=seen)
    return Query(kind=kind, polarity=polarity)


def say_model(model: BinaryModel, names: Mapping[str, str], order: Sequence[str]) -> str:
    """Word every table; a deterministic one as what always and never happens."""
    told = []
    for v in order:
        is_sure = set(model.tables[v].flat) <= {0.0, 1.0}
        for state in product((0, 1), repeat=len(model.parents[v])):
            given = [
                f"{'with' if x else 'without'} {names[p]}"
                for p, x in zip(model.parents[v], state, strict=True)
            ]
            value = float(model.tables[v][state])
            where = f" {' and '.join(given)}" if given else ""
            if is_sure:
                told.append(f"{names[v]} {'always' if value else 'never'} occurs{where}.")
            else:
                told.append(f"{names[v]} occurs in {value:.0%} of cases{where}.")
    return " ".join(told)


def say_graph(model: BinaryModel, names: Mapping[str, str]) -> str:
    """Word the causes of a closed world."""
    told = [f"{names[p]} acts on {names[v]}." for v in model.names for p in model.parents[v]]
    return f"A world has {len(names)} kinds of event and no other causes. {' '.join(told)}"


def say_query(query: Query, names: Mapping[str, str], *, reworded: bool) -> str:
    """Word a query in one of two ways."""
    up, had = query.polarity, bool(query.action)

    def adjust(found: Sequence[str]) -> str:
        known = " and ".join(names[v] for v in found)
        return f"compare cases alike in {known}" if known else "compare all cases at once"

    words = {
        "x": names[query.x], "y": names[query.y], "c": names.get(query.collider, ""),
        "more": "more" if up else "less", "raise_": "raise" if up else "lower",
        "act": "act on" if up else "leave alone", "occur": "occur" if up else "fail to occur",
        "had": "had" if had else "had not", "not_": "" if had else "not ",
        "there": "there" if up else "missing",
        "first": adjust(query.sets[0]), "second": adjust(query.sets[1]),
    }  # fmt: skip
    seen = [f"{names[v]} {'occurs' if x else 'does not occur'}." for v, x in
            (query.evidence or {}).items()]  # fmt: skip
    before = f"In one case {' '.join(seen)} " if seen else ""
    return before + _ASKED[query.kind][reworded].format(**words)


def _item(
    model: BinaryModel,
    query: Query,
    found: Answer,
    name: str,
    names: Sequence[Sequence[str]],
    generator: np.random.Generator,
) -> Item:
    graph = next(g for g, text in GRAPHS.items() if structure(text) == model.parents)

    def ask(words: Sequence[str], *, mixed: bool = False, reworded: bool = False) -> str:
        named = dict(zip(model.names, words, strict=True))
        order = list(model.names)
        if mixed:
            order = [order[i] for i in generator.permutation(len(order))]
        facts = say_model(model, named, order)
        return f"{say_graph(model, named)} {facts} {say_query(query, named, reworded=reworded)}"

    prompt = ask(names[0])
    named = dict(zip(model.names, names[0], strict=True))
    roles = {word: v for v, word in named.items()}
    joined = [[named[p], named[v]] for v in model.names for p in model.parents[v]]
    return Item(
        id=name,
        task="cladder",
        family=query.kind,
        prompt=prompt,
        gold=int(not found.is_yes),
        graded=found.value,
        group=name,
        template=f"{query.kind} {query.polarity} {query.action}",
        proof=found.proof,
        meta={"graph": graph, "rung": RUNGS[query.kind], "roles": roles, "edges": joined},
        spans={"question": (prompt.rindex(". ") + 2, len(prompt))},
        variants={
            "relabelled": ask(names[1]),
            "paraphrased": ask(names[0], reworded=True),
            "reordered": ask(names[0], mixed=True),
        },
    )
