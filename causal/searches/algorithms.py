"""The search algorithms of causal-learn, each called with a matrix and returning links.

Runs in a process of its own: the library prints, loops and may not return.
"""

import contextlib
import io
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int

from causal.searches.arrangement import column_order, standardised
from causal.searches.by_latents import run_gin, run_rlcd
from causal.searches.by_noise import run_direct_lingam, run_ica_lingam
from causal.searches.by_scores import run_boss, run_exact, run_ges, run_grasp
from causal.searches.by_tests import Found, Request, run_cdnod, run_fci, run_pc
from causal.searches.conventions import Link
from causal.searches.knowledge import Knowledge

ALGORITHMS: dict[str, Callable[[Request], Found]] = {
    "pc": run_pc,
    "fci": run_fci,
    "cd-nod": run_cdnod,
    "ges": run_ges,
    "exact-search": run_exact,
    "grasp": run_grasp,
    "boss": run_boss,
    "direct-lingam": run_direct_lingam,
    "ica-lingam": run_ica_lingam,
    "gin": run_gin,
    "rlcd": run_rlcd,
}
CODED = ("chisq", "gsq")


def run(request: Request) -> dict[str, Any]:
    """Run one algorithm on one matrix, under as many orders of its columns as asked.

    `request` holds `algorithm`, `data` [n, n_var], `names`, `alpha` and `seed`; it may hold
    `domain` [n] for CD-NOD, `test`, `score`, `category` [n_var], `knowledge`, `orders`,
    `shuffle` (start from a random order of the columns) and `seconds`. The first order follows
    the content of the columns; of several the graph with the best score is kept, the first
    where there is none. All are tried but those for which `seconds` would not suffice. Returns
    `links` and `facts`; `facts["orders"]` counts the orders tried, `facts["not_tried"]` the
    others and `facts["differ"]` those that gave another graph.
    """
    request = {**_DEFAULTS, **request}
    data = np.asarray(request["data"], dtype=np.float64)
    none = np.zeros(data.shape[1], dtype=bool)
    request["category"] = np.asarray(request.get("category", none), dtype=bool)
    begun, asked = time.monotonic(), _orders(data, request)
    found: list[Found] = []
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        for order in asked:
            if found and _would_end(begun, len(found)) > request["seconds"] * _MARGIN:
                break
            found.append(_run_once(_moved(request, data, order)))
    links, facts = max(found, key=lambda one: one[1].get("score", 0.0))
    same = [_same(links) == _same(other) for other, _ in found]
    counts = {"orders": len(found), "not_tried": len(asked) - len(found)}
    facts = {**facts, **counts, "differ": same.count(False)}
    return {"links": sorted(tuple(link) for link in links), "facts": facts}


# What is left for an order that takes longer than those before it: past the limit nothing is kept.
_MARGIN = 0.8


def _would_end(begun: float, done: int) -> float:
    """Return after how many seconds one more order would end, if it takes as long as those done."""
    return (time.monotonic() - begun) * (1 + 1 / done)


_DEFAULTS: Request = {
    "test": "fisherz",
    "score": "bic",
    "knowledge": Knowledge(),
    "orders": 1,
    "shuffle": False,
    "seconds": float("inf"),
}


def _run_once(request: Request) -> Found:
    links, facts = ALGORITHMS[request["algorithm"]](request)
    return links, facts


def _orders(
    data: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", request: Request
) -> list[Int[np.ndarray, " n_var"]]:
    first = column_order(data)
    generator = np.random.default_rng([request["seed"], 17])
    others = [generator.permutation(first) for _ in range(request["orders"])]
    return others if request["shuffle"] else [first, *others][: request["orders"]]


def _moved(
    request: Request,
    data: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
    order: Int[np.ndarray, " n_var"],
) -> Request:
    """Return the request with its columns in that order, in units of their spread or as codes."""
    own = data[:, order]
    size = np.nanmax(np.abs(own), axis=0).clip(1e-300)
    is_coded = request["test"] in CODED or request["score"] == "bdeu"
    return {
        **request,
        "data": _coded(own) if is_coded else _mixed(own, request["category"][order]),
        "names": [request["names"][i] for i in order],
        "category": request["category"][order],
        "spread": np.nanstd(own / size, axis=0) * size,
    }


def _mixed(
    data: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", category: Any
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    found = standardised(data)
    found[:, category] = _coded(data[:, category])
    return found


def _coded(
    data: "np.ndarray[tuple[int, int], np.dtype[np.float64]]",
) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    columns = [np.unique(column, return_inverse=True)[1] for column in data.T]
    return np.array(columns, dtype=np.float64).reshape(data.shape[1], len(data)).T


def _same(links: list[Link]) -> frozenset[tuple[str, str, str]]:
    return frozenset(link[:3] for link in links)
