"""Linear non-Gaussian models, called in causal-learn."""

from typing import Any

import numpy as np
from jaxtyping import Float

from causal.searches.by_tests import Found, Request
from causal.searches.conventions import Link, links_of_effects

_HSIC_ROWS = 400

Square = Float[np.ndarray, "n_var n_var"]


def run_direct_lingam(request: Request) -> Found:
    """Run DirectLiNGAM on standardised columns; effects come back in the columns' units."""
    from causallearn.search.FCMBased.lingam import DirectLiNGAM

    known = request["knowledge"]
    model = DirectLiNGAM(random_state=request["seed"], prior_knowledge=_paths(request))
    model.fit(request["data"])
    if known:
        # The library leaves out the paths it was told of; single edges are left out here.
        model._estimate_adjacency_matrix(request["data"], prior_knowledge=_edges(request))
        _keep_required(model.adjacency_matrix_, request)
    return _reported(model, request)


def run_ica_lingam(request: Request) -> Found:
    """Run ICA-LiNGAM on standardised columns; effects come back in the columns' units."""
    from causallearn.search.FCMBased.lingam import ICALiNGAM

    model = ICALiNGAM(random_state=request["seed"], max_iter=2000)
    model.fit(request["data"])
    return _reported(model, request)


def _paths(request: Request) -> Square | None:
    """Return 1 at [effect, cause] of a path, 0 where there is none, −1 where nothing is known."""
    known, place = request["knowledge"], _place(request)
    if not known.required and not known.later:
        return None
    paths = -np.ones((len(place), len(place)))
    for cause, effect in known.later:
        paths[place[effect], place[cause]] = 0
    for cause, effect in known.required:
        paths[place[effect], place[cause]] = 1
    return paths


def _edges(request: Request) -> Square:
    place = _place(request)
    edges = -np.ones((len(place), len(place)))
    for cause, effect in request["knowledge"].excluded:
        edges[place[effect], place[cause]] = 0
    return edges


def _keep_required(effects: Square, request: Request) -> None:
    """Estimate a required effect that the selection of parents left out, by least squares."""
    place, data = _place(request), request["data"]
    for effect in {effect for _, effect in request["knowledge"].required}:
        row = place[effect]
        needed = [place[c] for c, e in request["knowledge"].required if e == effect]
        if all(effects[row, j] for j in needed):
            continue
        parents = sorted({*np.flatnonzero(effects[row]), *needed})
        effects[row, parents] = np.linalg.lstsq(data[:, parents], data[:, row], rcond=None)[0]


def _place(request: Request) -> dict[str, int]:
    return {name: i for i, name in enumerate(request["names"])}


def _reported(model: Any, request: Request) -> Found:
    names, data = request["names"], request["data"]
    facts: dict[str, Any] = {"order": [names[i] for i in model.causal_order_]}
    if request.get("independence"):
        generator = np.random.default_rng(request["seed"])
        rows = generator.permutation(len(data))[:_HSIC_ROWS]
        p = model.get_error_independence_p_values(data[rows])
        facts["independence"] = [
            [*sorted((names[i], names[j])), float(p[i, j])]
            for i in range(len(names))
            for j in range(i + 1, len(names))
        ]
    return _in_units(links_of_effects(model.adjacency_matrix_, names), request), facts


def _in_units(links: list[Link], request: Request) -> list[Link]:
    spread = dict(zip(request["names"], request["spread"], strict=True))
    return [
        link._replace(weight=float(link.weight or 0.0) * spread[link.effect] / spread[link.cause])
        for link in links
    ]
