"""Searches that maximise a score, called in causal-learn."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from causal.searches.by_tests import Found, Request, _background
from causal.searches.conventions import links_of_marks

_NAMES = {
    "bic": "local_score_BIC_from_cov",
    "bdeu": "local_score_BDeu",
    "cv-general": "local_score_CV_general",
    "marginal-general": "local_score_marginal_general",
}
# The penalties that the library's searches use where none is given.
_PENALTY = {"ges": 0.5, "grasp": 2.0, "boss": 2.0, "exact-search": 0.5}


def run_ges(request: Request) -> Found:
    """Run GES."""
    from causallearn.search.ScoreBased.GES import ges

    found = ges(request["data"], score_func=_NAMES[request["score"]])["G"]
    return links_of_marks(found.graph, request["names"]), _scored(found, request)


def run_grasp(request: Request) -> Found:
    """Run GRaSP."""
    from causallearn.search.PermutationBased.GRaSP import grasp

    name = _NAMES[request["score"]]
    graph = _seeded(request, lambda: grasp(request["data"], score_func=name, verbose=False))
    return links_of_marks(graph.graph, request["names"]), _scored(graph, request)


def run_boss(request: Request) -> Found:
    """Run BOSS."""
    from causallearn.search.PermutationBased.BOSS import boss

    name = _NAMES[request["score"]]
    graph = _seeded(request, lambda: boss(request["data"], score_func=name, verbose=False))
    return links_of_marks(graph.graph, request["names"]), _scored(graph, request)


def run_exact(request: Request) -> Found:
    """Run the exact search and return the equivalence class of the best graph."""
    from causallearn.search.ScoreBased.ExactSearch import bic_exact_search

    allowed, needed = _masks(request)
    dag, _ = bic_exact_search(request["data"], super_graph=allowed, include_graph=needed)
    graph = _class_of(dag, request)
    return links_of_marks(graph.graph, request["names"]), _scored(graph, request)


def _masks(
    request: Request,
) -> tuple[Float[np.ndarray, "n_var n_var"], Float[np.ndarray, "n_var n_var"]]:
    names, known = request["names"], request["knowledge"]
    place = {name: i for i, name in enumerate(names)}
    allowed = 1.0 - np.eye(len(names))
    needed = np.zeros_like(allowed)
    for cause, effect in known.excluded:
        allowed[place[cause], place[effect]] = 0
    for cause, effect in known.required:
        needed[place[cause], place[effect]] = 1
    return allowed, needed


def _class_of(dag: Float[np.ndarray, "n_var n_var"], request: Request) -> Any:
    """Return the graph that all equally good graphs share, with what is known directed."""
    from causallearn.graph.Dag import Dag
    from causallearn.graph.GraphClass import CausalGraph
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.utils.DAG2CPDAG import dag2cpdag
    from causallearn.utils.PCUtils import Meek
    from causallearn.utils.PCUtils.BackgroundKnowledgeOrientUtils import (
        orient_by_background_knowledge,
    )

    nodes = [GraphNode(f"X{i + 1}") for i in range(len(dag))]
    whole = Dag(nodes)
    for i, j in np.argwhere(dag):
        whole.add_directed_edge(nodes[i], nodes[j])
    graph = dag2cpdag(whole)
    background = _background(request)
    if background is None:
        return graph
    holder = CausalGraph(len(dag), [node.get_name() for node in nodes])
    holder.G = graph
    orient_by_background_knowledge(holder, background)
    return Meek.meek(holder, background_knowledge=background).G


def _scored(graph: Any, request: Request) -> dict[str, Any]:
    """Return the score of a member of the class; more is better."""
    from causallearn.score import LocalScoreFunction as local
    from causallearn.score.LocalScoreFunctionClass import LocalScoreClass

    name = request["score"]
    if name not in ("bic", "bdeu"):
        # A kernel score of every variable once more would cost as much as the search.
        return {}
    function = local.local_score_BIC_from_cov if name == "bic" else local.local_score_BDeu
    parameters = {"lambda_value": _PENALTY[request["algorithm"]]} if name == "bic" else None
    score = LocalScoreClass(data=request["data"], local_score_fun=function, parameters=parameters)
    parents = _member(np.array(graph.graph))
    return {"score": float(sum(score.score(i, p) for i, p in enumerate(parents)))}


def _member(marks: Shaped[np.ndarray, "n_var n_var"]) -> list[list[int]]:
    """Return the parents of every variable in one acyclic graph of the class.

    Source: Dor & Tarsi 1992.
    """
    # marks[i, j] is the mark at i, so i → j has a tail at i and an arrow at j.
    into = (marks == -1) & (marks.T == 1)
    open_ends = (marks == -1) & (marks.T == -1)
    parents = [list(map(int, np.flatnonzero(into[:, j]))) for j in range(len(marks))]
    left = list(range(len(marks)))
    while left:
        sink = next((j for j in left if _is_sink(j, left, into, open_ends)), left[-1])
        left.remove(sink)
        parents[sink] += [i for i in left if open_ends[i, sink]]
    return parents


def _is_sink(
    j: int,
    left: list[int],
    into: Bool[np.ndarray, "n_var n_var"],
    open_ends: Bool[np.ndarray, "n_var n_var"],
) -> bool:
    if any(into[j, k] for k in left):
        return False
    near = [i for i in left if i != j and (open_ends[i, j] or into[i, j])]
    joined = into | into.T | open_ends
    return all(joined[i, k] for i in near if open_ends[i, j] for k in near if k != i)


def _seeded(request: Request, call: Callable[[], Any]) -> Any:
    # These two shuffle with the standard library's global generator and take no seed.
    state = random.getstate()
    random.setstate(random.Random(request["seed"]).getstate())  # noqa: S311
    try:
        return call()
    finally:
        random.setstate(state)
