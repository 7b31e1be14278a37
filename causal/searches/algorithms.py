"""The search algorithms of causal-learn, each called with a matrix and returning links.

Runs in a process of its own: the library prints, loops and may not return.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from causal.searches.conventions import Link, links_of_effects, links_of_marks, links_of_parents

Request = dict[str, Any]
Matrix = Float[np.ndarray, "n n_var"]

DOMAIN = "domain"
_HSIC_ROWS = 400


def run(request: Request) -> dict[str, Any]:
    """Run one algorithm on one matrix.

    `request` holds `algorithm`, `data` [n, n_var], `names`, `alpha`, `seed` and, for CD-NOD,
    `domain` [n]. Returns `links` and `facts`.
    """
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        links, facts = ALGORITHMS[request["algorithm"]](request)
    return {"links": [tuple(link) for link in links], "facts": facts}


Found = tuple[list[Link], dict[str, Any]]


def _pc(request: Request) -> Found:
    from causallearn.search.ConstraintBased.PC import pc

    graph = pc(request["data"], alpha=request["alpha"], show_progress=False).G.graph
    return links_of_marks(graph, request["names"]), {}


def _fci(request: Request) -> Found:
    from causallearn.search.ConstraintBased.FCI import fci

    graph, _ = fci(request["data"], alpha=request["alpha"], show_progress=False)
    return links_of_marks(graph.graph, request["names"]), {}


def _cdnod(request: Request) -> Found:
    from causallearn.search.ConstraintBased.CDNOD import cdnod

    domain = np.asarray(request["domain"], dtype=np.float64)[:, None]
    found = cdnod(request["data"], domain, alpha=request["alpha"], show_progress=False)
    return links_of_marks(found.G.graph, [*request["names"], DOMAIN]), {}


def _ges(request: Request) -> Found:
    from causallearn.search.ScoreBased.GES import ges

    found = ges(request["data"])
    return links_of_marks(found["G"].graph, request["names"]), {"score": _number(found["score"])}


def _exact(request: Request) -> Found:
    from causallearn.search.ScoreBased.ExactSearch import bic_exact_search

    dag, _ = bic_exact_search(request["data"])
    return links_of_parents(dag, request["names"]), {}


def _grasp(request: Request) -> Found:
    from causallearn.search.PermutationBased.GRaSP import grasp

    graph = _seeded(request, lambda: grasp(request["data"], verbose=False))
    return links_of_marks(graph.graph, request["names"]), {}


def _boss(request: Request) -> Found:
    from causallearn.search.PermutationBased.BOSS import boss

    graph = _seeded(request, lambda: boss(request["data"], verbose=False))
    return links_of_marks(graph.graph, request["names"]), {}


def _direct_lingam(request: Request) -> Found:
    from causallearn.search.FCMBased.lingam import DirectLiNGAM

    return _lingam(DirectLiNGAM(random_state=request["seed"]), request)


def _ica_lingam(request: Request) -> Found:
    from causallearn.search.FCMBased.lingam import ICALiNGAM

    return _lingam(ICALiNGAM(random_state=request["seed"], max_iter=2000), request)


def _lingam(model: Any, request: Request) -> Found:
    data, names = request["data"], request["names"]
    model.fit(data)
    facts: dict[str, Any] = {"order": [names[i] for i in model.causal_order_]}
    if request.get("independence"):
        rows = np.linspace(0, len(data) - 1, min(len(data), _HSIC_ROWS)).astype(int)
        p = model.get_error_independence_p_values(data[rows])
        facts["independence"] = [
            [names[i], names[j], float(p[i, j])]
            for i in range(len(names))
            for j in range(i + 1, len(names))
        ]
    return links_of_effects(model.adjacency_matrix_, names), facts


def _gin(request: Request) -> Found:
    from causallearn.search.HiddenCausal.GIN.GIN import GIN

    graph, order = GIN(request["data"], indep_test_method="hsic", alpha=request["alpha"])
    names = _latent_names([node.get_name() for node in graph.get_nodes()], request["names"])
    return links_of_marks(graph.graph, names), {"clusters": [list(map(int, c)) for c in order]}


def _rlcd(request: Request) -> Found:
    from causallearn.search.HiddenCausal.RLCD.RLCD_alg import RLCD

    plain = [f"X{i + 1}" for i in range(len(request["names"]))]
    graph = RLCD(request["data"], node_names=plain).G
    names = _latent_names([node.get_name() for node in graph.get_nodes()], request["names"])
    return links_of_marks(graph.graph, names), {}


ALGORITHMS: dict[str, Callable[[Request], Found]] = {
    "pc": _pc,
    "fci": _fci,
    "cd-nod": _cdnod,
    "ges": _ges,
    "exact-search": _exact,
    "grasp": _grasp,
    "boss": _boss,
    "direct-lingam": _direct_lingam,
    "ica-lingam": _ica_lingam,
    "gin": _gin,
    "rlcd": _rlcd,
}


def _latent_names(given: Sequence[str], observed: Sequence[str]) -> list[str]:
    by_number = {f"X{i + 1}": name for i, name in enumerate(observed)}
    return [by_number.get(name, f"latent {name}") for name in given]


def _seeded(request: Request, call: Callable[[], Any]) -> Any:
    # These two shuffle with the standard library's global generator and take no seed.
    import random

    state = random.getstate()
    random.setstate(random.Random(request["seed"]).getstate())  # noqa: S311
    try:
        return call()
    finally:
        random.setstate(state)


def _number(value: Any) -> float:
    return float(np.asarray(value).reshape(-1)[0])
