"""What happens when one token is forbidden: pass@k beside a random place."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from probes.critical.rules import pass_at_k
from probes.critical.search import Forced
from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate, mean_interval
from workbench.result.tables import Table, columns_from


def _ks(draws: int) -> list[int]:
    return [k for k in (1, 2, 4, 8, 16, 32, 64, 128, 256) if k <= draws]


def _pass_values(forced: Sequence[tuple[Forced, ...]], kind: str, k: int) -> list[float]:
    return [
        pass_at_k(one.wins, len(one.outcomes), k)
        for both in forced
        for one in both
        if one.kind == kind
    ]


def pass_table(forced: Sequence[tuple[Forced, ...]], draws: int) -> Table:
    """Return pass@k with the critical token forbidden, beside a random one, for several k."""
    rows = []
    for k in _ks(draws):
        row: dict[str, Any] = {"k": k, "with_token": 0.0}
        for kind in ("critical", "random"):
            values = _pass_values(forced, kind, k)
            if not values:
                continue
            estimate = mean_estimate(
                kind, values, unit="probability", n_unit="trajectories", bounds=(0.0, 1.0)
            )
            row |= {
                kind: estimate.value,
                f"{kind}_low": estimate.low,
                f"{kind}_high": estimate.high,
            }
        rows.append(row)
    columns = columns_from("""
        k (draws): Draws, one of which must be right.
        critical (probability; critical_low, critical_high): pass@k, critical token forbidden.
        random (probability; random_low, random_high): pass@k, a random other token forbidden.
        with_token (probability): pass@k with the critical token: 0 by construction.
    """)
    return Table.from_rows(rows, columns)


def pass_estimates(forced: Sequence[tuple[Forced, ...]], draws: int) -> list[Estimate]:
    """Return pass@16 (or the most draws allow) and its paired gain over a random position."""
    k = min(16, max(_ks(draws)))
    paired = [both for both in forced if len(both) == 2]
    if not paired:
        return []
    critical, random = (np.array(_pass_values(paired, kind, k)) for kind in ("critical", "random"))
    gap = critical - random
    interval = mean_interval(gap, bounds=(-1.0, 1.0))
    alone = mean_estimate(
        f"pass@{k} without the critical token",
        critical,
        unit="probability",
        n_unit="trajectories",
        bounds=(0.0, 1.0),
    )
    return [
        replace(alone, control=float(random.mean()), control_name="random position"),
        Estimate(
            name=f"pass@{k} gain over a random position",
            value=float(gap.mean()),
            low=interval.low,
            high=interval.high,
            unit="probability",
            n=len(gap),
            n_unit="trajectories",
            method=f"paired, {interval.method}",
        ),
    ]
