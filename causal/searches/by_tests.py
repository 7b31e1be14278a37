"""Searches by conditional independence tests, called in causal-learn."""

from typing import Any

import numpy as np

from causal.searches.conventions import Link, links_of_marks
from causal.searches.knowledge import Knowledge

Request = dict[str, Any]
Found = tuple[list[Link], dict[str, Any]]

DOMAIN = "domain"


def run_pc(request: Request) -> Found:
    """Run PC, or its form for missing values."""
    from causallearn.search.ConstraintBased.PC import pc

    asked: dict[str, Any] = {"alpha": float(request["alpha"]), "show_progress": False}
    known = _background(request)
    if request["test"] == "mv_fisherz":
        found = pc(request["data"], **asked, mvpc=True, background_knowledge=known)
    else:
        found = pc(request["data"], **asked, background_knowledge=known, **_test(request))
    return _without_banned(links_of_marks(found.G.graph, request["names"]), request), {}


def run_fci(request: Request) -> Found:
    """Run FCI."""
    from causallearn.search.ConstraintBased.FCI import fci

    test = _test(request)
    graph, _ = fci(
        request["data"],
        independence_test_method=test.pop("indep_test"),
        alpha=float(request["alpha"]),
        show_progress=False,
        background_knowledge=_background(request),
        **test,
    )
    return _without_banned(links_of_marks(graph.graph, request["names"]), request), {}


def run_cdnod(request: Request) -> Found:
    """Run CD-NOD with the domain as one unordered variable."""
    from causallearn.search.ConstraintBased.CDNOD import cdnod

    domain = np.asarray(request["domain"], dtype=np.float64)[:, None]
    wide = {
        **request,
        "data": np.column_stack([request["data"], domain]),
        "category": np.append(request["category"], True),
    }
    found = cdnod(
        request["data"],
        domain,
        alpha=float(request["alpha"]),
        show_progress=False,
        background_knowledge=_background(request),
        **_test(wide, domain=request["data"].shape[1]),
    )
    links = links_of_marks(found.G.graph, [*request["names"], DOMAIN])
    return _without_banned(links, request), {}


def _test(request: Request, domain: int | None = None) -> dict[str, Any]:
    from causal.searches.independence import NAME, named_test

    known: Knowledge = request["knowledge"]
    place = {name: i for i, name in enumerate(request["names"])}
    both = {pair for pair in known.excluded if pair[::-1] in known.excluded}
    return {
        "indep_test": NAME,
        "ask": named_test(request["test"], request["data"], request["category"], domain),
        "required": _places(known.required, place),
        "banned": _places(both, place),
    }


def _places(
    pairs: frozenset[tuple[str, str]] | set[tuple[str, str]], place: dict[str, int]
) -> frozenset[tuple[int, int]]:
    found = [sorted((place[a], place[b])) for a, b in pairs]
    return frozenset((i, j) for i, j in found)


def _background(request: Request) -> Any:
    """Return the knowledge as causal-learn takes it, None where there is none.

    What is forbidden both ways is left to the tests: causal-learn would call the pair
    independent without conditions and read colliders off it.
    """
    known: Knowledge = request["knowledge"]
    if not known:
        return None
    from causallearn.graph.GraphNode import GraphNode
    from causallearn.utils.PCUtils.BackgroundKnowledge import BackgroundKnowledge

    nodes = {name: GraphNode(f"X{i + 1}") for i, name in enumerate(request["names"])}
    background = BackgroundKnowledge()
    for cause, effect in known.required:
        background.add_required_by_node(nodes[cause], nodes[effect])
    for cause, effect in known.excluded:
        if (effect, cause) not in known.excluded:
            background.add_forbidden_by_node(nodes[cause], nodes[effect])
    return background


def _without_banned(links: list[Link], request: Request) -> list[Link]:
    excluded = request["knowledge"].excluded
    return [
        link
        for link in links
        if not {(link.cause, link.effect), (link.effect, link.cause)} <= excluded
    ]
