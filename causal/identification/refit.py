"""Fitting a found graph again to disturbed data, as quickly as its method allows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from causal.hca.fit import HierarchicalFit, fit_domains
from causal.hca.ica import IcaOptions, Subspace
from causal.hca.matching import match_names
from causal.scores.leaderboard import from_table
from causal.scores.rows import DomainRows
from workbench.errors import BadOption, DataError, FitError
from workbench.methods.contracts import Context
from workbench.methods.registry import find
from workbench.options import build
from workbench.result.graph import CapabilityGraph
from workbench.result.result import Result
from workbench.result.tables import Table

# Group (a domain or scope), cause and effect, with the weight.
Edges = dict[tuple[str, str, str], float]


LARGE = 100


@dataclass(frozen=True, kw_only=True)
class Refit:
    """What a refit gave: directed edges with their weight, and the order if there is one.

    `score` is the max-inexactness of a hierarchical fit.
    """

    edges: Edges
    order: tuple[str, ...] = ()
    score: float | None = None


# Fits the method of a found graph to other rows; None where it found no graph.
Refitter: TypeAlias = Callable[[DomainRows, np.random.Generator], Refit | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A found graph, the rows it was fitted to and how to fit it again.

    `fit` is the hierarchical fit behind the graph, where there is one.
    """

    graph: CapabilityGraph
    rows: DomainRows
    main: Refit
    refit: Refitter
    fit: HierarchicalFit | None = None


def open_case(found: Result, table: Table, context: Context) -> Case:
    """Rebuild what is needed to disturb a finding.

    Raises:
        BadOption: the result holds no graph.
    """
    if found.graph is None:
        raise BadOption("the result holds no graph to refute", hint="fit a discovery first")
    graph = found.graph
    scores = from_table(table, scores=_benchmarks(graph))
    counts = scores.domain_counts()
    large = [name for name, n in counts.items() if n >= LARGE] or list(counts)
    rows = scores.rows(map(str, graph.facts.get("domains", large)))
    if graph.method != "hierarchical":
        plugin = _PluginRefit(graph=graph)
        return Case(graph=graph, rows=rows, main=_of_graph(graph), refit=plugin)
    k = len(graph.order)
    options = IcaOptions(subspace=_subspace(graph))
    fit = fit_domains(rows, k, generator=context.stream("components"), options=options)
    wanted = tuple(fit.names.index(name) for name in graph.order if name in fit.names)
    if len(wanted) == k:
        fit = fit.with_order(fit.search.orders.index(wanted))
    refit = _HierarchicalRefit(main=fit, options=replace(options, restarts=6))
    return Case(graph=graph, rows=rows, main=_of_fit(fit), refit=refit, fit=fit)


def _subspace(graph: CapabilityGraph) -> Subspace:
    options: Mapping[str, Any] = graph.facts.get("options", {})
    return "domain" if options.get("subspace") == "domain" else "shared"


def _benchmarks(graph: CapabilityGraph) -> tuple[str, ...]:
    options: Mapping[str, Any] = graph.facts.get("options", {})
    return tuple(options.get("benchmarks", ()))


@dataclass(frozen=True, kw_only=True, eq=False)
class _HierarchicalRefit:
    main: HierarchicalFit
    options: IcaOptions

    def __call__(self, rows: DomainRows, generator: np.random.Generator) -> Refit | None:
        try:
            fit = fit_domains(rows, self.main.k, generator=generator, options=self.options)
        except (FitError, DataError):
            return None
        return _of_fit(fit, names=match_names(fit, self.main))


def _of_fit(fit: HierarchicalFit, *, names: tuple[str, ...] = ()) -> Refit:
    own = names or fit.names
    order = tuple(own[c] for c in fit.order)
    mean = fit.gauge.effects.mean(axis=0)
    edges = {
        ("", order[i], order[j]): float(mean[i, j])
        for i in range(fit.k)
        for j in range(i + 1, fit.k)
    }
    return Refit(edges=edges, order=order, score=float(fit.search.scores.min()))


@dataclass(frozen=True, kw_only=True, eq=False)
class _PluginRefit:
    graph: CapabilityGraph

    def __call__(self, rows: DomainRows, generator: np.random.Generator) -> Refit | None:
        recipe: Any = build(
            find("discovery", self.graph.method).recipe, self.graph.facts.get("options", {})
        )
        frame = pd.DataFrame(rows.pooled, columns=list(rows.benchmarks))
        frame.insert(0, "model", [f"row {i}" for i in range(len(frame))])
        frame.insert(1, "domain", np.repeat(rows.names, rows.counts))
        context = Context(seed=int(generator.integers(2**31)), resamples=20)
        try:
            result: Result = recipe.fit(Table(frame), context)
        except (FitError, DataError):
            return None
        return _of_graph(result.graph) if result.graph else None


def _of_graph(graph: CapabilityGraph) -> Refit:
    edges = {
        (e.group, e.cause, e.effect): float(e.weight.value)
        if e.weight and e.weight.value is not None
        else 1.0
        for e in graph.edges
        if e.mark == "directed"
    }
    return Refit(edges=edges, order=graph.order)
