"""Whether the data say in which order capabilities act, in words, with the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from causal.hca.fit import HierarchicalFit
from causal.identification.bootstrap import Bootstrap
from causal.identification.nulls import Gaussianity, OrderTest, RotationNull

LEAST_FREQUENCY = 0.9
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Check:
    """One condition for calling the order identified, with what was measured."""

    name: str
    passed: bool
    finding: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict, its reasons, and what holds whatever the order.

    `settled` lists the pairs (earlier, later) of capabilities that at least nine in ten
    resamples put in that order.
    """

    identified: bool
    order: tuple[str, ...]
    checks: tuple[Check, ...]
    settled: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """One sentence."""
        best = " → ".join(self.order)
        if self.identified:
            return f"order identified: {best}"
        failed = "; ".join(check.finding for check in self.checks if not check.passed)
        return f"order not identified (best-scoring: {best}): {failed}{self._rest()}"

    def _rest(self) -> str:
        if not self.settled:
            return ""
        pairs = ", ".join(f"{a} before {b}" for a, b in self.settled)
        return f". Resamples agree only on: {pairs}"


def judge(
    fit: HierarchicalFit,
    *,
    bootstrap: Bootstrap,
    rotation: RotationNull,
    orders: OrderTest,
    gaussian: Sequence[Gaussianity],
) -> Verdict:
    """Weigh all the evidence; the order is identified only if every check passes."""
    checks = [
        _domains(fit),
        _noises(fit, gaussian),
        _rotations(fit, rotation),
        _rivals(fit, orders),
        _resamples(fit, bootstrap),
    ]
    identified = all(check.passed for check in checks)
    best = fit.search.orders[fit.search.best]
    return Verdict(
        identified=identified,
        order=tuple(fit.names[c] for c in best),
        checks=tuple(checks),
        settled=_settled(fit, bootstrap, orders) if checks[1].passed and len(fit.rows) > 1 else (),
    )


def _domains(fit: HierarchicalFit) -> Check:
    count = len(fit.rows)
    finding = (
        f"{count} domains"
        if count > 1
        else "one domain fits every order exactly, and only differences between domains tell"
    )
    return Check(name="several domains", passed=count > 1, finding=finding)


def _noises(fit: HierarchicalFit, gaussian: Sequence[Gaussianity]) -> Check:
    bad = [n for n, g in zip(fit.rows.names, gaussian, strict=True) if g.is_gaussian]
    finding = (
        f"in {', '.join(bad)} two or more noises cannot be told from Gaussian, so the components "
        "are arbitrary up to rotation"
        if bad
        else "every domain has at most one noise that could be Gaussian"
    )
    return Check(name="non-Gaussian noises", passed=not bad, finding=finding)


def _rotations(fit: HierarchicalFit, rotation: RotationNull) -> Check:
    finding = (
        f"max-inexactness {fit.search.scores.min():.4f} against a median of "
        f"{np.median(rotation.chosen):.4f} for random rotations under the same choice of domains "
        f"(p = {rotation.p_chosen:.3f}, {len(rotation.chosen)} draws)"
    )
    return Check(
        name="better than random rotations", passed=rotation.p_chosen < ALPHA, finding=finding
    )


def _rivals(fit: HierarchicalFit, orders: OrderTest) -> Check:
    possible = np.flatnonzero(orders.possible)
    names = [" → ".join(fit.names[c] for c in fit.search.orders[i]) for i in possible]
    alone = len(possible) == 1
    finding = (
        "every other order is ruled out by simulation"
        if alone
        else f"{len(possible)} of {len(orders.possible)} orders explain the data as well as "
        f"sampling allows ({'; '.join(names[:6])}{' …' if len(names) > 6 else ''})"
    )
    return Check(name="no rival order", passed=alone, finding=finding)


def _resamples(fit: HierarchicalFit, bootstrap: Bootstrap) -> Check:
    shares = bootstrap.frequencies
    best = fit.search.best
    ranked = np.argsort(-shares)[:2]
    listed = ", ".join(
        f"{' → '.join(fit.names[c] for c in fit.search.orders[i])} {shares[i]:.0%}" for i in ranked
    )
    return Check(
        name="stable under resampling",
        passed=bool(shares[best] >= LEAST_FREQUENCY),
        finding=f"over {len(bootstrap)} resamples the best order is {listed}",
    )


def _settled(
    fit: HierarchicalFit, bootstrap: Bootstrap, orders: OrderTest
) -> tuple[tuple[str, str], ...]:
    possible = [fit.search.orders[i] for i in np.flatnonzero(orders.possible)]
    pairs = []
    for a, b in np.argwhere(bootstrap.precedence >= LEAST_FREQUENCY):
        if all(order.index(a) < order.index(b) for order in possible):
            pairs.append((fit.names[a], fit.names[b]))
    return tuple(pairs)
