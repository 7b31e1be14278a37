"""Asking a fitted graph: shocks, do(z), paths, and what a named model would score.

Within a domain the capabilities follow z = A z + u with u the exogenous part, scores follow
x = G z + rest. A *shock* adds to u, *do* replaces an equation, and a *measurement* changes a
score without any capability: training on a benchmark's own items can do that.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from causal.hca.fit import HierarchicalFit
from causal.hca.gauge import Gauge
from causal.identification.bootstrap import Bootstrap
from causal.scm.actions import (
    Action,
    Change,
    Counterfactual,
    Do,
    Measure,
    Path,
    PathEffects,
    Shock,
    Span,
    Support,
    along,
    changes,
    supports,
)
from causal.scores.rows import DomainRows, Floats
from workbench.errors import BadOption, UnknownName

__all__ = [
    "Action",
    "CapabilityModel",
    "Change",
    "Counterfactual",
    "Do",
    "Measure",
    "Path",
    "PathEffects",
    "Shock",
    "Span",
    "Support",
    "misread",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class CapabilityModel:
    """A fitted graph as a structural model, with resamples for intervals.

    `names` and `anchors` belong to the capabilities in causal order, `draws` are the gauges of
    the resamples, and `scale` bounds the scores themselves, when they have bounds.
    """

    rows: DomainRows
    gauge: Gauge
    names: tuple[str, ...]
    anchors: tuple[str, ...]
    draws: tuple[Gauge, ...] = ()
    scale: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        fit: HierarchicalFit,
        bootstrap: Bootstrap | None = None,
        *,
        scale: tuple[float, float] | None = None,
    ) -> "CapabilityModel":
        """Take over a fit and its resamples.

        Raises:
            BadOption: the resamples belong to another order.
        """
        if bootstrap is not None and bootstrap.fit.order != fit.order:
            raise BadOption(
                "the resamples were made under another order",
                hint="resample the fit that is asked about",
            )
        return cls(
            rows=fit.rows,
            gauge=fit.gauge,
            names=fit.order_names,
            anchors=fit.anchor_names,
            draws=bootstrap.gauges() if bootstrap else (),
            scale=scale,
        )

    @property
    def numbers(self) -> tuple[str, ...]:
        """Short names of the capabilities by their place in the order."""
        return tuple(f"z{i + 1}" for i in range(len(self.names)))

    def capability(self, name: str) -> int:
        """Return the place in the order of a capability given by name, anchor or `z1`, `z2`.

        Raises:
            UnknownName: no capability is called that.
        """
        for names in (self.names, self.anchors, self.numbers):
            if names.count(name) == 1:
                return names.index(name)
        known = ", ".join(
            f"{z} = {own} (anchor {anchor})"
            for z, own, anchor in zip(self.numbers, self.names, self.anchors, strict=True)
        )
        raise UnknownName(f"no capability is called {name!r}; there are {known}")

    def domain(self, name: str) -> int:
        """Return the number of a domain.

        Raises:
            UnknownName: the fit has no such domain.
        """
        return _place(name, self.rows.names, "domain")

    def benchmark(self, name: str) -> int:
        """Return the number of a benchmark.

        Raises:
            UnknownName: the fit has no such benchmark.
        """
        return _place(name, self.rows.benchmarks, "benchmark")

    def spans(self, statistic: Callable[[Gauge], Sequence[float] | Floats]) -> tuple[Span, ...]:
        """Return numbers computed from the anchored fit with their intervals over resamples."""
        values = [float(v) for v in statistic(self.gauge)]
        if len(self.draws) < 2:
            return tuple(Span(value=v) for v in values)
        draws = np.array([statistic(gauge) for gauge in self.draws])
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        return tuple(
            Span(value=v, low=float(a), high=float(b))
            for v, a, b in zip(values, low, high, strict=True)
        )

    def response(self, domain: str, shock: Shock) -> dict[str, Span]:
        """Return the change of every score after a shock, in points.

        Per SD of noise it is the same in every gauge, and almost so under every order: it does
        not test the order.
        """
        e, i = self.domain(domain), self.capability(shock.capability)

        def change(gauge: Gauge) -> Floats:
            size = shock.size * (gauge.scales[e, i] if shock.unit == "sd" else 1.0)
            moved: Floats = gauge.loadings @ gauge.totals[e, i] * size
            return moved

        return dict(zip(self.rows.benchmarks, self.spans(change), strict=True))

    def paths(self, domain: str, cause: str, effect: str) -> PathEffects:
        """Split the total effect of one capability on another by path.

        Raises:
            BadOption: the cause does not come before the effect in the order.
        """
        e, i, j = self.domain(domain), self.capability(cause), self.capability(effect)
        names = self.names
        if i >= j:
            raise BadOption(
                f"{names[i]} does not come before {names[j]} in the order {' → '.join(names)}"
            )
        routes = [
            (i, *middle, j)
            for size in range(j - i)
            for middle in combinations(range(i + 1, j), size)
        ]
        spans = self.spans(
            lambda g: [
                *(along(g.effects[e], route) for route in routes),
                g.totals[e, i, j] - g.effects[e, i, j],
                g.totals[e, i, j],
            ]
        )
        return PathEffects(
            cause=names[i],
            effect=names[j],
            direct=spans[0],
            indirect=spans[-2],
            total=spans[-1],
            paths=tuple(
                Path(through=tuple(names[step] for step in route), effect=span)
                for route, span in zip(routes, spans[:-2], strict=True)
            ),
        )

    def support(self, domain: str) -> tuple[Support, ...]:
        """Return where the domain's models lie on each capability."""
        z = self.gauge.capabilities(self.rows.blocks[self.domain(domain)])
        return supports(self.names, z)

    def what_if(
        self, domain: str, scores: Sequence[float] | Floats, actions: Sequence[Action]
    ) -> Counterfactual:
        """Abduct a model's noise from its scores, act, and predict its scores.

        What the capabilities do not explain of the scores is kept as it is.

        Raises:
            UnknownName: an action names no capability or benchmark.
            BadOption: as many scores as benchmarks are needed, and one action per capability.
        """
        e, x = self.domain(domain), np.asarray(scores, dtype=np.float64)
        benchmarks = self.rows.benchmarks
        if x.shape != (len(benchmarks),) or not np.isfinite(x).all():
            raise BadOption(f"{len(benchmarks)} finite scores are needed: {', '.join(benchmarks)}")
        self._check(actions)
        before = self.gauge.capabilities(x[None])[0]
        spans = self.spans(lambda gauge: np.concatenate(self._act(gauge, e, x, actions)))
        capabilities = changes(self.names, before, spans[: len(before)])
        changed = changes(benchmarks, x, spans[len(before) :])
        return Counterfactual(
            domain=domain,
            capabilities=capabilities,
            scores=changed,
            noise=dict(zip(self.names, map(float, self.noise(domain, x)), strict=True)),
            warnings=(*self._beyond_support(domain, capabilities), *self._beyond_scale(changed)),
        )

    def noise(self, domain: str, scores: Floats) -> Floats:
        """Return the exogenous part of each capability, in SDs about the domain's mean."""
        e = self.domain(domain)
        gauge, mean = self.gauge, self.rows.blocks[e].mean(axis=0)
        own: Floats = gauge.b[e] @ gauge.h @ (scores - mean) * np.sign(np.diagonal(gauge.b[e]))
        return own

    def _check(self, actions: Sequence[Action]) -> None:
        touched: list[int] = []
        for action in actions:
            if isinstance(action, Measure):
                self.benchmark(action.benchmark)
            else:
                touched.append(self.capability(action.capability))
        if len(set(touched)) < len(touched):
            raise BadOption("two actions touch the same capability; give at most one for each")

    def _act(
        self, gauge: Gauge, e: int, x: Floats, actions: Sequence[Action]
    ) -> tuple[Floats, Floats]:
        a = gauge.effects[e].T
        before = gauge.capabilities(x[None])[0]
        exogenous = before - a @ before
        fixed: dict[int, float] = {}
        measured = np.zeros_like(x)
        for action in actions:
            if isinstance(action, Measure):
                measured[self.benchmark(action.benchmark)] += action.change
            elif isinstance(action, Do):
                fixed[self.capability(action.capability)] = action.value
            else:
                i = self.capability(action.capability)
                exogenous[i] += action.size * (gauge.scales[e, i] if action.unit == "sd" else 1.0)
        after = np.zeros_like(before)
        for i in range(len(after)):
            after[i] = fixed.get(i, exogenous[i] + a[i] @ after)
        return after, x + gauge.loadings @ (after - before) + measured

    def _beyond_support(self, domain: str, capabilities: Sequence[Change]) -> list[str]:
        return [
            f"{change.name} would be {change.after.value:.1f}; 98 in 100 models of {domain} lie "
            f"between {own.low:.1f} and {own.high:.1f}: extrapolated"
            for change, own in zip(capabilities, self.support(domain), strict=True)
            if not own.low <= change.after.value <= own.high
        ]

    def _beyond_scale(self, scores: Sequence[Change]) -> list[str]:
        if self.scale is None:
            return []
        low, high = self.scale
        return [
            f"{change.name} would be {change.after.value:.1f}, outside its scale of "
            f"{low:g} to {high:g}"
            for change in scores
            if not low <= change.after.value <= high
        ]


def misread(model: CapabilityModel, change: Mapping[str, float]) -> dict[str, float]:
    """Return the capability change that a pure change of measurement would be mistaken for."""
    delta = np.zeros(len(model.rows.benchmarks))
    for name, points in change.items():
        delta[model.benchmark(name)] = points
    return dict(zip(model.names, map(float, model.gauge.h @ delta), strict=True))


def _place(name: str, names: tuple[str, ...], what: str) -> int:
    if name not in names:
        raise UnknownName(f"no {what} {name!r}; the fit has {', '.join(names)}")
    return names.index(name)
