"""Rows of CaLM Lite: what each asks, in own words, and what its graph says of the answer."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

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
    try:
        kind = kind_of(row)
        return _effect(row, kind) if "Background" in row else _about_graph(row, kind)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
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
    """Return every choice that the graph makes right, with why; None where numbers decide.

    Raises:
        DataError: the graph has a circle, or no engine knows what is asked.
    """
    kind = kind_of(row)
    if "Background" in row:
        return _of_effect(row, kind)
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


def _of_effect(row: Values, kind: str) -> tuple[tuple[int, ...] | None, tuple[str, ...]]:
    """Return No where no path can carry the effect; numbers decide everything else."""
    found = re.search(r"\) of (.+) on (.+?)\.", row["Instruction"])
    told = str(row["Background"]["real_world_meaning"]).strip()
    meant = dict(re.findall(r"(\w) represents (.+?)(?:,| and |\.$)", told))
    at = {name: letter for letter, name in meant.items()}
    if found is None or found[1] not in at or found[2] not in at or kind in ("PN", "PS"):
        return None, ()
    letters = sorted(meant)
    found_edges = _ARROW.findall(row["Background"]["graph"])
    dag = from_edges(
        len(letters), tuple((letters.index(a), letters.index(b)) for a, b in found_edges)
    )
    x, y = letters.index(at[found[1]]), letters.index(at[found[2]])
    is_direct = bool(dag[y] >> x & 1)
    through = any(ancestors(dag, z) >> x & 1 for z in bits(dag[y]))
    carries = {"CDE": is_direct, "NDE": is_direct, "NIE": through}.get(kind, is_direct or through)
    if carries:
        return None, ()
    return (1,), (f"no {kind} path leads from {letters[x]} to {letters[y]}",)
