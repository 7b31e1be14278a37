"""Questions of what follows from correlations, drawn as minimal pairs with computed answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np

from causal.worlds.correlation_text import (
    BRIEF,
    OWN,
    RELEASED,
    REWORDED,
    Statement,
    premise,
)
from causal.worlds.dags import (
    Dag,
    Pattern,
    Separation,
    closure,
    edges,
    from_edges,
    is_acyclic,
    separations,
)
from causal.worlds.relations import DEFINITION, holds, share, verdict
from workbench.errors import TooLittleData
from workbench.sampling.items import Item

_ALPHABET = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_TRIES = 60
_ASKED = " Does it follow that: "
_FORMS = {"own": OWN, "released": RELEASED, "brief": BRIEF}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two graphs that differ in one edge; the relation is entailed by the class of the first."""

    graphs: tuple[Dag, Dag]
    relation: str
    x: int
    y: int


def draw_pairs(
    n_pairs: int, n_nodes: int, relations: Sequence[str], generator: np.random.Generator
) -> list[Pair]:
    """Draw minimal pairs, the relations in turn.

    A relation that correlations of so few variables never entail is left out.

    Raises:
        TooLittleData: none of the relations is ever entailed.
    """
    left, found = list(relations), list[Pair]()
    while left and len(found) < n_pairs:
        relation = left[len(found) % len(left)]
        tries = (_draw(n_nodes, relation, generator) for _ in range(_TRIES))
        pair = next((p for p in tries if p is not None), None)
        if pair is None:
            left.remove(relation)
        else:
            found.append(pair)
    if not found:
        raise TooLittleData(
            f"correlations of {n_nodes} variables never entail {', '.join(relations)}",
            hint="nodes=4 entails all six relations",
        )
    return found


def _draw(n: int, relation: str, generator: np.random.Generator) -> Pair | None:
    order = generator.permutation(n)
    kept = [
        (int(order[a]), int(order[b])) for a, b in combinations(range(n), 2)
        if generator.random() < 0.55
    ]  # fmt: skip
    dag = from_edges(n, tuple(kept))
    members = Pattern.of(dag).members()
    sure = [
        (x, y) for x, y in permutations(range(n), 2)
        if holds(dag, relation, x, y) and share(members, relation, x, y) == 1
    ]  # fmt: skip
    if not sure:
        return None
    x, y = sure[generator.integers(len(sure))]
    near = _one_edge_apart(dag)
    for i in generator.permutation(len(near)):
        others = Pattern.of(near[i]).members()
        if share(others, relation, x, y) != 1:
            return Pair(graphs=(dag, near[i]), relation=relation, x=x, y=y)
    return None


def _one_edge_apart(dag: Dag) -> list[Dag]:
    """Return every acyclic graph with one edge added, removed or turned."""
    n, mine = len(dag), set(edges(dag))
    found = [mine - {e} for e in sorted(mine)]
    found += [mine - {(a, b)} | {(b, a)} for a, b in sorted(mine)]
    free = [p for p in permutations(range(n), 2) if not {p, p[::-1]} & mine]
    found += [mine | {p} for p in free]
    graphs = [from_edges(n, tuple(sorted(e))) for e in found]
    return [g for g in graphs if is_acyclic(g)]


def pair_items(
    pair: Pair, number: int, *, wording: str, letters: int = 26, generator: np.random.Generator
) -> tuple[Item, Item]:
    """Word both questions of a pair with the same names and the same hypothesis.

    Names are drawn from the first `letters` of the alphabet.
    """
    n = len(pair.graphs[0])
    names = (draw_names(n, letters, generator), draw_names(n, letters, generator))
    first, second = (
        _item(dag, pair, names, f"pair-{number}", wording, generator) for dag in pair.graphs
    )
    return first, second


def _item(
    dag: Dag,
    pair: Pair,
    both_names: tuple[tuple[str, ...], tuple[str, ...]],
    group: str,
    wording: str,
    generator: np.random.Generator,
) -> Item:
    members, (names, renamed) = Pattern.of(dag).members(), both_names
    told = sorted(separations(dag), key=lambda s: (s[:2], s[2].bit_count(), s[2]))
    mixed = [told[i] for i in generator.permutation(len(told))]
    template = _FORMS[wording][pair.relation]

    def ask(names: Sequence[str], found: Sequence[Separation], form: str) -> str:
        said = form.format(x=names[pair.x], y=names[pair.y])
        return question(premise(names, found, wording=wording), said, wording)

    prompt = ask(names, told, template)
    of_class = share(members, pair.relation, pair.x, pair.y)
    told_premise = len(premise(names, told, wording=wording))
    start = len(prompt) - len(template.format(x=names[pair.x], y=names[pair.y]))
    variants = {"relabelled": ask(renamed, told, template),
                "reordered": ask(names, mixed, template)}  # fmt: skip
    if wording != "brief":
        variants["paraphrased"] = ask(names, told, REWORDED[pair.relation])
        variants |= _denied(members, names, prompt, told_premise)
    return Item(
        id=f"{group}{'ab'[of_class != 1]}",
        task="corr2cause",
        family=pair.relation,
        prompt=prompt,
        gold=int(of_class != 1),
        graded=float(of_class),
        group=group,
        template=f"{len(dag)} {template}",
        proof=proof_of(members, names, pair.relation, pair.x, pair.y),
        meta=_meta(dag, pair, names, verdict(of_class)),
        spans={"premise": (0, told_premise), "hypothesis": (start, len(prompt))},
        variants=variants,
    )


def _denied(members: Sequence[Dag], names: Sequence[str], prompt: str, end: int) -> dict[str, str]:
    """Return the question with one cause denied behind its premise, where no graph has that cause.

    The sentence adds nothing, so that the answer stays as it is.

    Source: the counterfactual sentences of CARE-CA, Ashwani et al. 2024, arXiv:2402.18139.
    """
    for x, y in permutations(range(len(names)), 2):
        if not any(closure(1 << y, graph) >> x & 1 for graph in members):
            said = f"{names[y]} is not caused by {names[x]}."
            return {"denied": f"{prompt[:end]} {said}{prompt[end:]}"}
    return {}


def question(told: str, hypothesis: str, wording: str) -> str:
    """Return a premise with the question whether a hypothesis follows."""
    return f"{told} {hypothesis}" if wording == "brief" else f"{told}{_ASKED}{hypothesis}"


def _meta(dag: Dag, pair: Pair, names: Sequence[str], found: str) -> dict[str, Any]:
    joined = [[names[a], names[b]] for a, b in edges(dag)]
    members, (x, y) = Pattern.of(dag).members(), (pair.x, pair.y)
    if pair.relation in ("child", "descendant"):  # the hypothesis names the cause first
        x, y = y, x
    facts = {
        "adjacent": bool((dag[y] >> x | dag[x] >> y) & 1),
        "ancestor": all(closure(1 << y, g) >> x & 1 for g in members),
    }
    graphs = {}
    for graph in reversed(members):
        title = "it holds in" if holds(graph, pair.relation, pair.x, pair.y) else "it fails in"
        graphs[title] = [[names[a], names[b]] for a, b in edges(graph)]
    told = {"n": len(dag), "edges": joined, "class_size": len(members), "relation": pair.relation}
    told |= {"verdict": found, "definition": DEFINITION}
    return {**told, "facts": facts, "graphs": graphs, "names": list(names)}


def draw_names(n: int, letters: int, generator: np.random.Generator) -> tuple[str, ...]:
    """Return different letters, the first ones of the alphabet."""
    return tuple(str(x) for x in generator.choice(_ALPHABET[:letters], n, replace=False))


def proof_of(
    members: Sequence[Dag], names: Sequence[str], relation: str, x: int, y: int
) -> tuple[str, ...]:
    """Return in how many graphs of a class a relation holds, with one that has or lacks it."""
    has = [dag for dag in members if holds(dag, relation, x, y)]
    lacks = [dag for dag in members if dag not in has]
    told = [
        f"{relation} of {names[x]} and {names[y]} holds in {len(has)} of the {len(members)} graphs "
        "with these correlations"
    ]
    told += [f"it holds in {worded(dag, names)}" for dag in has[:1]]
    return (*told, *(f"it fails in {worded(dag, names)}" for dag in lacks[:1]))


def worded(dag: Dag, names: Sequence[str]) -> str:
    """Return a graph as its edges."""
    return ", ".join(f"{names[a]}→{names[b]}" for a, b in edges(dag)) or "the graph without edges"


def read_proof(found: Statement) -> tuple[str, tuple[str, ...], float]:
    """Return the verdict on a statement that was read, its proof, and the share of the class.

    Raises:
        DataError: no graph has the separations of the premise.
    """
    members = found.pattern.members()
    of_class = share(members, found.relation, found.x, found.y)
    told = proof_of(members, found.names, found.relation, found.x, found.y)
    return verdict(of_class), told, float(of_class)
