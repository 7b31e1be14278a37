"""Whether a domain that was left out fits the shared map of the others."""

from itertools import permutations
from typing import Any

import numpy as np

from causal.hca.fit import HierarchicalFit, fit_domains
from causal.hca.ica import IcaOptions, fit_ica
from causal.hca.triangular import row_inexactness
from causal.scores.rows import Floats
from workbench.errors import FitError
from workbench.result.estimate import Estimate
from workbench.result.intervals import permutation_p

ARROW = " → "


def held_out_estimate(row: dict[str, Any]) -> Estimate:
    """Return the inexactness of one held-out domain beside random rotations."""
    return Estimate(
        name=f"held_out {row['domain']}",
        value=row["inexactness"],
        unit="",
        n=int(row["rows"] or 0),
        n_unit="models",
        control=row["null_median"],
        control_name="random rotations",
        note=str(row["problem"] or ""),
    )


def hold_out(
    fit: HierarchicalFit,
    index: int,
    draws: int,
    generator: np.random.Generator,
    options: IcaOptions,
) -> dict[str, Any]:
    """Fit all domains but one, then the last one to their map; a failure says why."""
    name = fit.rows.names[index]
    row: dict[str, Any] = {
        "domain": name,
        "rows": fit.rows.counts[index],
        "inexactness": None,
        "null_median": None,
        "p": None,
        "order": None,
        "problem": None,
    }
    others = fit.rows.select([n for n in fit.rows.names if n != name])
    try:
        rest = fit_domains(others, fit.k, generator=generator, options=options)
        # In its own subspace: the shared one was found with its help.
        component = fit_ica(fit.rows.blocks[index], fit.k, generator=generator, options=options)
    except FitError as error:
        return {**row, "problem": error.message}
    own = best_inexactness(rest, component.unmixing)
    rotations = np.linalg.qr(generator.standard_normal((draws, fit.k, fit.k)))[0]
    null = np.array([best_inexactness(rest, r @ component.whitening) for r in rotations])
    return {
        **row,
        "inexactness": own,
        "null_median": float(np.median(null)),
        "p": permutation_p(-own, -null),
        "order": ARROW.join(rest.order_names),
    }


def best_inexactness(rest: HierarchicalFit, unmixing: Floats) -> float:
    """Return the smallest inexactness of one domain under a map fitted to others."""
    h = rest.canonical.h
    orders = np.array(list(permutations(range(len(h)))))
    aligned = unmixing[orders]
    b = np.tril(aligned @ h.T)
    j = b @ h @ np.linalg.pinv(aligned)
    return float(row_inexactness(j, np.diagonal(j, axis1=1, axis2=2)).mean(axis=1).min())
