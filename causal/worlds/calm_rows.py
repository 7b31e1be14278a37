"""Rows of CaLM Lite: what each asks, in own words, and what its graph says of the answer."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from causal.worlds.calm_effects import Effect, Value, value_of
from causal.worlds.dags import Dag, bits, from_edges, is_acyclic
from causal.worlds.graph_criteria import (
    ancestors,
    are_instruments,
    hidden_part,
    is_back_door,
    is_front_door,
    is_smallest_back_door,
)
from workbench.errors import DataError
from workbench.sampling.items import YES_NO

FILE = "file"
"""Where a row keeps the name of its file, which says what a row with options asks for."""

Values = Mapping[str, Any]
T = TypeVar("T")
_EDGE, _PAIR = re.compile(r"(\w+) causes (\w+)"), re.compile(r"(\w+) and (\w+)")
_ARROW, _NAME = re.compile(r"(\w)->(\w)"), re.compile(r"\w+")
_SETS: dict[str, tuple[str, Callable[[Dag, int, int, int], bool]]] = {
    "max-BAS": ("the largest back-door adjustment set", is_back_door),
    "min-BAS": ("a back-door adjustment set no part of which is one", is_smallest_back_door),
    "mix-BAS": ("a back-door adjustment set", is_back_door),
    "FAS": ("a front-door adjustment set", is_front_door),
    "IV": ("a set of instrumental variables", are_instruments),
}  # fmt: skip
_ASKED = {
    "AR": ("ar_edges", "former", "latter", "Is {x} a cause of {y}, directly or through others?"),
    "FA": ("edges", "sampled_ancestor", "attribution", "Is {x} an ancestor of {y}?"),
    "FP": ("edges", "sampled_parent", "attribution", "Is {x} a parent of {y}?"),
    "CEI": ("di_edges", "treatment", "outcome",
            "Can the effect of {x} on {y} be found from observations?"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question as it is asked; `right` is the choice, or None where the answer is a number."""

    kind: str
    text: str
    choices: tuple[str, ...]
    right: int | None
    answer: str
    graph: str
    edges: tuple[tuple[str, str], ...]


def is_calm(row: Values) -> bool:
    """Whether a row is one of the set."""
    return "gt_answer" in row and ("Background" in row or {"vertices"} <= set(row))


def kind_of(row: Values) -> str:
    """Return what a row asks for: AR, FA, FP, CEI, a set such as min-BAS, or an effect.

    Raises:
        DataError: neither its fields nor its file say so.
    """
    if "Type" in row:
        return str(row["Type"])
    if "di_edges" in row:
        return "CEI"
    for kind in ("AR", "FA", "FP"):
        if _ASKED[kind][1] in row:
            return kind
    kinds = (kind for kind in _SETS if re.search(rf"[-_]{kind}_", str(row.get(FILE, ""))))
    for kind in kinds:
        return kind
    raise DataError(
        f"the file {row.get(FILE)!r} does not say which set is asked for",
        hint=f"a name that holds one of {', '.join(_SETS)}",
    )


def read_row(row: Values) -> Asked:
    """Return a row as a question.

    Raises:
        DataError: a field is missing or strange.
    """
    return _guarded(lambda: (_effect if "Background" in row else _about_graph)(row, kind_of(row)))


def _guarded(read: Callable[[], T]) -> T:
    try:
        return read()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"no row of CaLM: {type(error).__name__}: {error}") from error


def _effect(row: Values, kind: str) -> Asked:
    about = row["Background"]
    parts = (row["given_info"], about["data_info"], row["Instruction"], row["Question"])
    said, edges = row["gt_answer"], _ARROW.findall(about["graph"])
    is_choice = said in YES_NO
    return Asked(
        kind=f"{kind} {row.get('Mode', '').lower()}".strip(),
        text=" ".join(str(part).strip() for part in parts if str(part).strip()),
        choices=YES_NO if is_choice else (),
        right=YES_NO.index(said) if is_choice else None,
        answer=said if is_choice else f"{float(said):.4f}",
        graph=about["graph"],
        edges=tuple(edges),
    )


def _about_graph(row: Values, kind: str) -> Asked:
    field = _ASKED[kind][0] if kind in _ASKED else "edges"
    told, edges = str(row[field]), tuple(_EDGE.findall(str(row[field])))
    given = f"In a closed system, {told}."
    choices: tuple[str, ...] = YES_NO if kind in _ASKED else ("1", "2", "3")
    if kind == "CEI":
        given += f" Hidden causes join {row['bi_edges'] or 'none'}."
    if kind in _ASKED:
        _, x, y, words = _ASKED[kind]
        text, right = words.format(x=row[x], y=row[y]), int(not int(row["gt_answer"]))
    else:
        options = "; ".join(f"{i}: {row[f'option{i}']}" for i in (1, 2, 3))
        pair = f"for the effect of {row['treatment']} on {row['outcome']}"
        text, right = f"Which is {_SETS[kind][0]} {pair}? {options}.", int(row["gt_answer"]) - 1
    return Asked(
        kind=kind, text=f"{given} {text}", choices=choices, right=right, answer=choices[right],
        graph=f"{told} {row.get('bi_edges', '')}", edges=edges,
    )  # fmt: skip


def answers_of(row: Values) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """Return every choice that is right, with why; None where the text does not say enough.

    Raises:
        DataError: the graph has a circle, or a field is missing or strange.
    """
    return _guarded(lambda: _answers(row, kind_of(row)))


def _answers(row: Values, kind: str) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    if "Background" in row:
        found = effect_value(row)
        if found.value is None:
            return None, (found.told,)
        # The treated are compared as they are with what they would be.
        is_yes = found.value < 0 if kind == "ETT" else found.value > 0
        return (int(not is_yes),), (found.told,)
    names = list(row["vertices"])
    at = {name: i for i, name in enumerate(names)}
    field = _ASKED[kind][0] if kind in _ASKED else "edges"
    dag = from_edges(len(at), tuple((at[a], at[b]) for a, b in _EDGE.findall(row[field])))
    if not is_acyclic(dag):
        raise DataError("the graph has a circle of causes")
    if kind in _ASKED:
        return _yes_or_no(row, kind, dag, at)
    x, y = at[row["treatment"]], at[row["outcome"]]
    sets = [sum(1 << at[v] for v in _NAME.findall(row[f"option{i}"])) for i in (1, 2, 3)]
    fits = [_SETS[kind][1](dag, x, y, s) for s in sets]
    told = tuple(
        f"{{{row[f'option{i + 1}']}}} is {'' if ok else 'not '}{_SETS[kind][0]}"
        for i, ok in enumerate(fits)
    )
    if kind == "max-BAS":  # the largest of those offered: larger valid sets often are not
        most = max((s.bit_count() for s, ok in zip(sets, fits, strict=True) if ok), default=0)
        fits = [ok and s.bit_count() == most for s, ok in zip(sets, fits, strict=True)]
    return tuple(i for i, ok in enumerate(fits) if ok), told


def _yes_or_no(
    row: Values, kind: str, dag: Dag, at: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    _, first, second, _ = _ASKED[kind]
    x, y = at[row[first]], at[row[second]]
    if kind == "CEI":
        joined = [0] * len(at)
        for a, b in _PAIR.findall(row["bi_edges"].replace(", and ", ", ")):
            joined[at[a]] |= 1 << at[b]
            joined[at[b]] |= 1 << at[a]
        part = [name for name, i in at.items() if hidden_part(dag, joined, x, y) >> i & 1]
        is_yes = not part
        told = f"hidden causes keep {', '.join(part)} from being told apart from {row[first]}"
        why = "every part of its causes is identifiable" if is_yes else told
    else:
        found = dag[y] if kind == "FP" else ancestors(dag, y)
        is_yes = bool(found >> x & 1)
        known = ", ".join(name for name, i in at.items() if i in set(bits(found))) or "nothing"
        why = f"{'parents' if kind == 'FP' else 'ancestors'} of {row[second]}: {known}"
    return (int(not is_yes),), (why,)


def effect_value(row: Values) -> Value:
    """Return the number that a question about an effect asks for."""
    kind, about = kind_of(row), row["Background"]
    told = str(about["real_world_meaning"]).strip()
    letters = {name: v for v, name in re.findall(r"(\w) represents (.+?)(?:,| and |\.$)", told)}
    asked = row["Instruction"].partition(") of ")[2].rstrip(". ")
    splits = [(asked[: m.start()], asked[m.end() :]) for m in re.finditer(" on ", asked)]
    pairs = [(letters[a], letters[b]) for a, b in splits if {a, b} <= set(letters)]
    if len(pairs) != 1:
        return Value(value=None, told="the text does not say of which variables")
    x, y = pairs[0]
    edges = _ARROW.findall(about["graph"])
    if kind not in ("PN", "PS") and not _carries(kind, x, y, edges):
        return Value(value=0.0, told=f"no {kind} path leads from {x} to {y}")
    reason = row.get("Reason") or {}
    return value_of(
        Effect(
            kind=kind, x=x, y=y, edges=edges, listed=about.get("data_info_math", ""),
            formula=reason.get("Step 4", ""), is_upper="upper" in row["Question"],
        )
    )  # fmt: skip


def _carries(kind: str, x: str, y: str, edges: Sequence[tuple[str, str]]) -> bool:
    """Whether some path can carry an effect of that kind."""
    names = sorted({v for edge in edges for v in edge} | {x, y})
    at = {v: i for i, v in enumerate(names)}
    dag = from_edges(len(at), tuple((at[a], at[b]) for a, b in edges))
    is_direct = bool(dag[at[y]] >> at[x] & 1)
    through = any(ancestors(dag, z) >> at[x] & 1 for z in bits(dag[at[y]]))
    return {"CDE": is_direct, "NDE": is_direct, "NIE": through}.get(kind, is_direct or through)
