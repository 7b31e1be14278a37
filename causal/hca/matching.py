"""Which capability of one fit is which of another."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment

from causal.hca.fit import HierarchicalFit
from causal.scores.rows import Floats


def match_names(
    fit: HierarchicalFit, main: HierarchicalFit, transform: Callable[[Floats], Floats] | None = None
) -> tuple[str, ...]:
    """Name the components of one fit after those of another that they correlate with.

    Correlations are taken over the rows of the other fit's reference domain; `transform` turns
    them into the scores that the first fit saw, which may hold further columns at the end.
    Components without a partner keep names of their own.
    """
    rows = main.rows.blocks[main.search.reference]
    changed = transform(rows) if transform else rows
    own = fit.unmixing[fit.search.reference][:, : changed.shape[1]]
    mine, theirs = changed @ own.T, rows @ main.unmixing[main.search.reference].T
    cross = np.abs(np.corrcoef(mine, theirs, rowvar=False))[: fit.k, fit.k :]
    places, matches = linear_sum_assignment(np.nan_to_num(cross), maximize=True)
    names = {int(p): main.names[m] for p, m in zip(places, matches, strict=True)}
    spare = [n for n in fit.names if n not in names.values()]
    spare += [b for b in fit.rows.benchmarks if b not in (*names.values(), *spare)]
    return tuple(names[c] if c in names else spare.pop(0) for c in range(fit.k))
