"""How well a cheap signal agrees with rollouts about which token did the damage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy import stats

from workbench.result.estimate import Estimate
from workbench.result.intervals import mean_estimate

CONTRAST, ENTROPY, SURPRISAL = "contrast", "entropy", "surprisal"
SIGNALS = (CONTRAST, ENTROPY, SURPRISAL)
TOLD = (1, 3)
"""The k of hit@k among the estimates."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """The signals of one response beside what rollouts found; high means suspicious.

    `signals` and `drop` have one value per token, NaN where rollouts do not tell the drop;
    `candidates` are the positions that may be critical, counted from 1, `critical` the one that
    is, None if no token decided.
    """

    signals: Mapping[str, Float[np.ndarray, " pos"]]
    drop: Float[np.ndarray, " pos"]
    candidates: range
    critical: int | None

    @property
    def known(self) -> int:
        """At how many positions rollouts tell the drop."""
        return int(np.isfinite(self.drop).sum())

    def correlation(self, signal: str) -> float | None:
        """Return Spearman's rank correlation of a signal with the success drop.

        None where it is undefined: fewer than three known drops, or all of them equal.
        """
        where = np.isfinite(self.drop)
        x, y = self.signals[signal][where], self.drop[where]
        if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
            return None
        return float(stats.spearmanr(x, y).statistic)

    def hit(self, signal: str, k: int) -> float | None:
        """Return whether the critical token is among the k most suspicious candidates.

        Equal values are in random order: the chance of a hit then lies between 0 and 1.
        """
        if self.critical is None or self.critical not in self.candidates:
            return None
        x = self.signals[signal][[i - 1 for i in self.candidates]]
        mine = self.signals[signal][self.critical - 1]
        above, equal = int((x > mine).sum()), int((x == mine).sum())
        return float(np.clip((k - above) / equal, 0, 1))

    def rank(self, signal: str) -> float | None:
        """Return the place of the critical token, 1 being the most suspicious candidate."""
        if self.critical is None or self.critical not in self.candidates:
            return None
        x = self.signals[signal][[i - 1 for i in self.candidates]]
        mine = self.signals[signal][self.critical - 1]
        return float((x > mine).sum() + ((x == mine).sum() + 1) / 2)

    def chance(self, k: int) -> float | None:
        """Return the chance that a random order of the candidates hits."""
        if self.critical is None or self.critical not in self.candidates:
            return None
        return min(1.0, k / len(self.candidates))


def correlations(judged: Sequence[Evaluation]) -> list[Estimate]:
    """Return each signal's mean rank correlation, and the contrast minus the other signals."""
    values = {signal: [one.correlation(signal) for one in judged] for signal in SIGNALS}
    null = 0.0 if any(v is not None for v in values[CONTRAST]) else None
    return _told("rank correlation", "correlation", values, null)


def hits(judged: Sequence[Evaluation], k: int) -> list[Estimate]:
    """Return each signal's hit@k of the critical token, and the contrast minus the others."""
    values = {signal: [one.hit(signal, k) for one in judged] for signal in SIGNALS}
    chances = [c for one in judged if (c := one.chance(k)) is not None]
    null = float(np.mean(chances)) if chances else None
    return _told(f"hit@{k}", "proportion", values, null)


def _told(
    what: str,
    unit: str,
    values: Mapping[str, Sequence[float | None]],
    null: float | None,
) -> list[Estimate]:
    least, most = (-1.0, 1.0) if unit == "correlation" else (0.0, 1.0)
    found = [
        replace(
            _mean(f"{what}, {signal}", unit, values[signal], (least, most)),
            control=null,
            control_name="random order",
        )
        for signal in SIGNALS
    ]
    for other in SIGNALS[1:]:
        gaps = [
            None if one is None or two is None else one - two
            for one, two in zip(values[CONTRAST], values[other], strict=True)
        ]
        apart = (least - most, most - least)
        found.append(_mean(f"{what}, {CONTRAST} − {other}", f"{unit} difference", gaps, apart))
    return found


def _mean(
    name: str, unit: str, values: Sequence[float | None], bounds: tuple[float, float]
) -> Estimate:
    known = [value for value in values if value is not None]
    if not known:
        return Estimate(
            name=name,
            value=None,
            unit=unit,
            n=len(values),
            n_unit="trajectories",
            note="rollouts decide nothing in any trajectory",
        )
    return mean_estimate(name, known, unit=unit, n_unit="trajectories", bounds=bounds)
