"""Searches for latent variables, called in causal-learn."""

from collections.abc import Sequence

from causal.searches.by_tests import Found, Request
from causal.searches.conventions import Link, links_of_marks


def run_gin(request: Request) -> Found:
    """Run GIN."""
    from causallearn.search.HiddenCausal.GIN.GIN import GIN

    graph, order = GIN(request["data"], indep_test_method="hsic", alpha=request["alpha"])
    given = [node.get_name() for node in graph.get_nodes()]
    links = links_of_marks(graph.graph, _observed(given, request["names"]))
    clusters = [[request["names"][int(i)] for i in cluster] for cluster in order]
    return named_by_children(links, request["names"]), {"clusters": clusters}


def run_rlcd(request: Request) -> Found:
    """Run RLCD."""
    from causallearn.search.HiddenCausal.RLCD.RLCD_alg import RLCD

    plain = [f"X{i + 1}" for i in range(len(request["names"]))]
    graph = RLCD(request["data"], node_names=plain).G
    given = [node.get_name() for node in graph.get_nodes()]
    links = links_of_marks(graph.graph, _observed(given, request["names"]))
    return named_by_children(links, request["names"]), {}


def _observed(given: Sequence[str], observed: Sequence[str]) -> list[str]:
    by_number = {f"X{i + 1}": name for i, name in enumerate(observed)}
    return [by_number.get(name, f"latent {name}") for name in given]


def named_by_children(links: Sequence[Link], observed: Sequence[str]) -> list[Link]:
    """Name every latent variable by the scores below it, so that its name outlasts a refit."""
    latents = sorted({n for link in links for n in link[:2] if n not in observed})
    names: dict[str, str] = {}
    for latent in latents:
        below = f"latent of {', '.join(sorted(_below(latent, links, observed))) or 'nothing'}"
        same = sum(name.split(" #")[0] == below for name in names.values())
        names[latent] = f"{below} #{same + 1}" if same else below
    return [
        link._replace(
            cause=names.get(link.cause, link.cause), effect=names.get(link.effect, link.effect)
        )
        for link in links
    ]


def _below(latent: str, links: Sequence[Link], observed: Sequence[str]) -> set[str]:
    """Return the scores that are direct children, or those of later latents where it has none."""
    found: set[str] = set()
    seen, wave = {latent}, [latent]
    while wave and not found:
        near = [link.effect for link in links if link.cause in wave and link.effect not in seen]
        seen.update(near)
        found = {name for name in near if name in observed}
        wave = [name for name in near if name not in observed]
    return found
