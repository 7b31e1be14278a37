"""Do domains vary in the same directions? The gate before a shared map is fitted."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
from jaxtyping import Float

from causal.scores.rows import DomainRows
from workbench.errors import TooLittleData


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Distances between the principal subspaces of domains, and which domains agree.

    A distance is 1 − mean cosine of the principal angles between top-k subspaces of centred,
    unscaled scores, 0 (the same) to 1. `passed` is the largest group whose distances all stay at
    or below the threshold; with equal size, the one with more rows.
    """

    names: tuple[str, ...]
    counts: tuple[int, ...]
    distances: Float[np.ndarray, "domain domain"]
    explained: Float[np.ndarray, " domain"]
    threshold: float
    passed: tuple[str, ...]


def subspace(x: Float[np.ndarray, "n d"], k: int) -> Float[np.ndarray, "k d"]:
    """Return the top-k principal directions of centred rows."""
    if min(x.shape) < k:
        raise TooLittleData(
            f"{x.shape[0]} rows of {x.shape[1]} scores have no {k} principal directions"
        )
    return np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:k]


def subspace_distance(a: Float[np.ndarray, "k d"], b: Float[np.ndarray, "k d"]) -> float:
    """Return 1 − mean cosine of the principal angles between two orthonormal bases."""
    return max(0.0, float(1.0 - np.linalg.svd(a @ b.T, compute_uv=False).mean()))


def gate(rows: DomainRows, k: int, *, threshold: float = 0.05) -> Gate:
    """Measure all distances and find the largest group of domains that share a subspace.

    Source: arXiv:2506.10378 compares the subspaces without stating a threshold; ours is 0.05.
    """
    bases = [subspace(block, k) for block in rows.blocks]
    distances = np.array([[subspace_distance(a, b) for b in bases] for a in bases])
    distances[np.diag_indices(len(rows))] = 0.0
    spectra = [np.linalg.svd(b - b.mean(axis=0), compute_uv=False) ** 2 for b in rows.blocks]
    return Gate(
        names=rows.names,
        counts=rows.counts,
        distances=distances,
        explained=np.array([s[:k].sum() / s.sum() for s in spectra]),
        threshold=threshold,
        passed=tuple(rows.names[i] for i in _largest_group(distances, rows.counts, threshold)),
    )


def _largest_group(
    distances: Float[np.ndarray, "domain domain"], counts: tuple[int, ...], threshold: float
) -> tuple[int, ...]:
    agree = np.argwhere(np.triu(distances <= threshold, 1)).tolist()
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(len(counts)))
    graph.add_edges_from((int(a), int(b)) for a, b in agree)
    # Maximal cliques: trying every subset would not end with thirty domains.
    groups = [tuple(sorted(group)) for group in nx.find_cliques(graph)]
    return max(groups, key=lambda group: (len(group), sum(counts[i] for i in group)))
