"""The way of the latent vectors in two dimensions."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from workbench.result.tables import Table, columns_from
from workbench.runs.solved import Solved

COLUMNS = columns_from("""
    problem: Name of the problem.
    step: Step, counted from 1.
    x: First principal component of all latent vectors.
    y: Second principal component.
    text: What the vector decodes to.
""")


def vectors_of(solved: Sequence[Solved], most: int) -> Float[np.ndarray, "step d_model"]:
    """Return the first vectors of all chains, one row each."""
    found = [s.vector for one in solved for s in one.chain.steps if s.vector is not None]
    return np.stack(found[:most]).astype(np.float32) if found else np.zeros((0, 0), np.float32)


def path_table(solved: Sequence[Solved], vectors: Float[np.ndarray, "step d_model"]) -> Table:
    """Return where each vector lies on the plane of greatest variance."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ axes[:2].T
    steps = [
        (one.problem.id, number, step.text)
        for one in solved
        for number, step in enumerate(one.chain.steps, start=1)
        if step.vector is not None
    ]
    rows = [
        {"problem": problem, "step": number, "x": float(at[0]), "y": float(at[1]), "text": text}
        for (problem, number, text), at in zip(steps, plane, strict=False)
    ]
    return Table.from_rows(rows, COLUMNS)
