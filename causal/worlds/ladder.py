"""The ten graphs and ten queries of the causal ladder, answered exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from causal.worlds.binary_model import BinaryModel
from workbench.errors import DataError

GRAPHS = {
    "chain": "X->V2,V2->Y",
    "fork": "X->Y,V2->Y",
    "collision": "X->V3,Y->V3",
    "confounding": "V1->X,V1->Y,X->Y",
    "mediation": "X->V2,X->Y,V2->Y",
    "arrowhead": "X->V3,V2->V3,X->Y,V2->Y,V3->Y",
    "diamond": "X->V3,X->V2,V2->Y,V3->Y",
    "diamondcut": "V1->V3,V1->X,X->Y,V3->Y",
    "IV": "V1->X,V2->X,V1->Y,X->Y",
    "frontdoor": "V1->X,X->V3,V1->Y,V3->Y",
}
RUNGS = {
    "marginal": 1, "correlation": 1, "exp_away": 1, "ate": 2, "backadj": 2, "collider_bias": 2,
    "ett": 3, "nde": 3, "nie": 3, "det-counterfactual": 3,
}  # fmt: skip
TIE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked of a model; `polarity` is False where the opposite is asked.

    `sets` are the two adjustment sets of a back-door question, the one called better first.
    """

    kind: str
    polarity: bool = True
    x: str = "X"
    y: str = "Y"
    collider: str = "V3"
    action: int = 0
    evidence: Mapping[str, int] | None = None
    sets: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The value that decides, the answer, and both in words; None where nothing decides."""

    value: float
    is_yes: bool | None
    proof: tuple[str, ...]


def structure(text: str) -> dict[str, tuple[str, ...]]:
    """Return the parents of every variable of a graph written `A->B,B->C`."""
    found: dict[str, list[str]] = {}
    for edge in text.replace(" ", "").split(","):
        cause, mark, effect = edge.partition("->")
        if not (cause and mark and effect):
            raise DataError(f"{edge!r} is no edge; expected CAUSE->EFFECT")
        found.setdefault(cause, [])
        found.setdefault(effect, []).append(cause)
    return {v: tuple(p) for v, p in found.items()}


def answer(model: BinaryModel, query: Query) -> Answer:
    """Answer a query exactly.

    Raises:
        DataError: the kind of query is unknown, or names what the model lacks.
    """
    missing = {query.x, query.y, *(query.evidence or ())} - set(model.names)
    if query.kind in ("exp_away", "collider_bias"):
        missing |= {query.collider} - set(model.names)
    if query.kind not in RUNGS or missing:
        what = f"no {', '.join(sorted(missing))} in the model" if missing else "unknown query"
        raise DataError(f"{query.kind}: {what}", hint=f"queries: {', '.join(RUNGS)}")
    if query.kind == "backadj":
        return _back_door(model, query)
    if query.kind == "collider_bias":
        value = model.ate(query.x, query.y)
        told = f"E[Y | do(X=1)] − E[Y | do(X=0)] = {value:.4f}; no path leads from X to Y"
        return Answer(value=value, is_yes=(abs(value) > TIE) == query.polarity, proof=(told,))
    value, zero, formula = _value(model, query)
    is_yes = None if abs(value - zero) <= TIE else (value > zero) == query.polarity
    word = "larger" if value > zero else "smaller"
    told = f"{formula} = {value:.4f}, {'equal to' if is_yes is None else f'{word} than'} {zero:g}"
    return Answer(value=value, is_yes=is_yes, proof=(told,))


def _value(model: BinaryModel, query: Query) -> tuple[float, float, str]:
    """Return the value, what it is compared with, and the formula."""
    x, y = query.x, query.y
    if query.kind == "marginal":
        return model.p({y: 1}), 0.5, f"P({y}=1)"
    if query.kind == "correlation":
        up, down = (model.p({y: 1}, {x: v}) for v in (1, 0))
        return up - down, 0.0, f"P({y}=1|{x}=1) − P({y}=1|{x}=0)"
    if query.kind == "exp_away":
        c = query.collider
        both, one = model.p({y: 1}, {x: 1, c: 1}), model.p({y: 1}, {c: 1})
        return both - one, 0.0, f"P({y}=1|{x}=1,{c}=1) − P({y}=1|{c}=1)"
    if query.kind == "det-counterfactual":
        p = model.counterfactual(y, do={x: query.action}, evidence=query.evidence or {})
        return p, 0.5, f"P({y}=1 had {x} been {query.action} | {dict(query.evidence or {})})"
    if query.kind == "ett":
        # "Would it be more likely if it had not been so?" asks for the opposite sign.
        return -model.ett(x, y), 0.0, f"E[{y}₀ − {y}₁ | {x}=1]"
    effect = {"ate": model.ate, "nde": model.nde, "nie": model.nie}[query.kind](x, y)
    return effect, 0.0, f"{query.kind.upper()} of {x} on {y}"


def _back_door(model: BinaryModel, query: Query) -> Answer:
    good = [model.is_back_door(s, query.x, query.y) for s in query.sets]
    told = [
        f"adjusting for {{{', '.join(s)}}} {'meets' if ok else 'breaks'} the back-door criterion"
        for s, ok in zip(query.sets, good, strict=True)
    ]
    known = ", ".join(f"{{{', '.join(s)}}}" for s in model.back_doors(query.x, query.y)) or "none"
    is_yes = None if good[0] == good[1] else good[0] == query.polarity
    return Answer(
        value=float(good[0]) - float(good[1]), is_yes=is_yes,
        proof=(*told, f"sets that meet it: {known}"),
    )  # fmt: skip


def read_model(values: Mapping[str, Any]) -> BinaryModel:
    """Return a model of a released file: `structure` and `params`.

    Raises:
        DataError: a table is missing or does not fit.
    """
    parents = structure(str(values.get("structure", "")))
    tables: dict[str, Any] = {}
    ordered: dict[str, tuple[str, ...]] = {}
    for key, table in dict(values.get("params", {})).items():
        name, _, given = key.strip()[2:-1].partition("|")
        name, order = name.strip(), tuple(p.strip() for p in given.split(",") if p.strip())
        if set(order) != set(parents.get(name, ("?",))):
            raise DataError(f"{key} does not fit the structure {values.get('structure')}")
        tables[name], ordered[name] = _array(table, key), order
    return BinaryModel(names=tuple(parents), parents=parents | ordered, tables=tables)


def _array(table: Any, key: str) -> Any:
    try:
        found = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{key} holds {table!r}; expected probabilities") from error
    return found.reshape(()) if found.size == 1 else found


def stored_estimands(model: BinaryModel) -> dict[str, float]:
    """Return what released models store, computed exactly."""
    found = {f"P({v}=1)": model.p({v: 1}) for v in model.names}
    for x in (1, 0):
        found[f"P(Y=1 | X={x})"] = model.p({"Y": 1}, {"X": x})
    found["ATE(Y | X)"], found["ETT(Y | X)"] = model.ate(), model.ett()
    found["NDE(Y | X)"], found["NIE(Y | X)"] = model.nde(), model.nie()
    return found
