"""Fitting a found graph again to disturbed data, with everything it was fitted with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from causal.hca.components import fit_components
from causal.hca.fit import HierarchicalFit, assemble, search_components
from causal.hca.ica import IcaOptions, Subspace
from causal.hca.matching import match_names
from causal.scores.leaderboard import READ, ScoreTable, from_table
from causal.scores.rows import DomainRows
from workbench.errors import BadOption, DataError, FitError
from workbench.methods.contracts import Context
from workbench.methods.registry import find
from workbench.options import build
from workbench.result.graph import CapabilityGraph
from workbench.result.result import Result
from workbench.result.tables import Table


@runtime_checkable
class ChoosesRows(Protocol):
    """A discovery that fits some of the rows of a table."""

    def rows_of(self, table: Table) -> ScoreTable:
        """Return the rows that are fitted."""


# Group (a fit or a domain), cause and effect, with the weight where there is one.
Edges = dict[tuple[str, str, str], float | None]
# Group and the two ends, with cause, effect and mark as they stand.
Marks = dict[tuple[str, frozenset[str]], tuple[str, str, str]]
Labels: TypeAlias = np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """The scores of a fit with the domain of every row; `index` says which rows they were."""

    index: Int[np.ndarray, " n"]
    values: Float[np.ndarray, "n d"]
    domains: Labels

    def take(self, rows: Int[np.ndarray, " m"]) -> "Cells":
        """Return some of the rows."""
        return Cells(index=self.index[rows], values=self.values[rows], domains=self.domains[rows])

    @property
    def names(self) -> tuple[str, ...]:
        """The domains in the order of their first row."""
        return tuple(dict.fromkeys(map(str, self.domains)))


@dataclass(frozen=True, kw_only=True)
class Refit:
    """What a fit gave: directed edges with their weight, all edges with their mark, orders.

    `orders` holds the order of every group that has one, `score` the max-inexactness of a
    hierarchical fit.
    """

    edges: Edges
    marks: Marks = field(default_factory=dict)
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    score: float | None = None

    @property
    def order(self) -> tuple[str, ...]:
        """The order, where there is one alone."""
        return next(iter(self.orders.values())) if len(self.orders) == 1 else ()


# Fits the method of a found graph to other rows; None where it found no graph.
Refitter: TypeAlias = Callable[[Cells, np.random.Generator], Refit | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A found graph, the rows it was fitted to and how to fit it again.

    `claims` says of every group what its method yields; `fit` is the hierarchical fit behind
    the graph, where there is one, and `scope` which rows a search was shown.
    """

    graph: CapabilityGraph
    cells: Cells
    main: Refit
    refit: Refitter
    claims: Mapping[str, Mapping[str, Any]]
    scope: str = ""
    fit: HierarchicalFit | None = None

    @property
    def options(self) -> IcaOptions:
        """How components are looked for again, for a hierarchical graph."""
        return _ica_options(self.graph)


def open_case(found: Result, table: Table, context: Context) -> Case:
    """Rebuild what is needed to disturb a finding.

    Raises:
        BadOption: the result holds no graph, or one that does not say how it was fitted.
    """
    if found.graph is None:
        raise BadOption("the result holds no graph to refute", hint="fit a discovery first")
    graph = found.graph
    if graph.method == "hierarchical":
        return _hierarchical_case(found, graph, context)
    if "discovery" not in graph.facts or "options" not in graph.facts:
        raise BadOption(
            "the graph does not say how it was fitted, so it cannot be fitted again",
            hint="fit it again with this version and name the new run",
        )
    facts = graph.facts
    recipe: Any = build(find("discovery", facts["discovery"]).recipe, facts["options"])
    scores = recipe.rows_of(table) if isinstance(recipe, ChoosesRows) else from_table(table)
    cells = Cells(
        index=np.arange(len(scores)),
        values=scores.scores,
        domains=scores.facts["domain"].to_numpy(dtype=object),
    )
    return Case(
        graph=graph,
        cells=cells,
        main=refit_of(graph),
        refit=_PluginRefit(recipe=_quick(recipe), scores=scores, facts=facts),
        claims=facts.get("claims", {}),
        scope=str(facts["options"].get("scope", "")),
    )


def refit_of(graph: CapabilityGraph) -> Refit:
    """Return the edges, marks and orders of a graph."""
    orders: Mapping[str, Sequence[str]] = graph.facts.get("orders", {})
    return Refit(
        edges={
            (e.group, e.cause, e.effect): None if e.weight is None else e.weight.value
            for e in graph.edges
            if e.mark == "directed"
        },
        marks={
            (e.group, frozenset((e.cause, e.effect))): (e.cause, e.effect, e.mark)
            for e in graph.edges
        },
        orders={group: tuple(order) for group, order in orders.items()},
    )


def _quick(recipe: Any) -> Any:
    """Leave out what does not change the edges: resamples, and the least size of a domain.

    Domains were chosen by the first fit; a subset of their rows must not lose one.
    """
    changes = {"resamples": 0, "least_models": 1}
    known = {f.name for f in fields(recipe)}
    return replace(recipe, **{k: v for k, v in changes.items() if k in known})


@dataclass(frozen=True, kw_only=True, eq=False)
class _PluginRefit:
    recipe: Any
    scores: ScoreTable
    facts: Mapping[str, Any]

    def __call__(self, cells: Cells, generator: np.random.Generator) -> Refit | None:
        whole = self.scores.as_table().frame
        frame = whole.iloc[cells.index].reset_index(drop=True)
        frame[list(self.scores.benchmarks)] = cells.values
        frame[whole.attrs[READ]["facts"]["domain"]] = cells.domains
        frame.attrs.update(whole.attrs)
        context = Context(seed=int(self.facts.get("seed", 0)), resamples=20)
        try:
            result: Result = self.recipe.fit(Table(frame), context)
        except (FitError, DataError):
            return None
        return refit_of(result.graph) if result.graph else None


def _hierarchical_case(found: Result, graph: CapabilityGraph, context: Context) -> Case:
    missing = [name for name in ("rows", "counts", "unmixing") if name not in found.arrays]
    if missing:
        raise BadOption(
            f"the result of the hierarchical discovery lacks {', '.join(missing)}",
            hint="fit it again with this version and name the new run",
        )
    names = tuple(map(str, graph.facts["domains"]))
    counts = np.asarray(found.arrays["counts"])
    # The rows as they were fitted: after every filter, scaled, of the chosen domains.
    values = np.asarray(found.arrays["rows"], dtype=np.float64)
    rows = DomainRows(
        names=names,
        benchmarks=tuple(map(str, graph.facts["benchmarks"])),
        blocks=tuple(np.split(values, np.cumsum(counts)[:-1])),
    )
    starts = np.asarray(found.arrays["unmixing"], dtype=np.float64)
    options = _ica_options(graph)
    fit = _fit(rows, starts, context.stream("components"), options)
    wanted = tuple(fit.names.index(name) for name in graph.order if name in fit.names)
    if len(wanted) == len(graph.order):
        fit = fit.with_order(fit.search.orders.index(wanted))
    cells = Cells(
        index=np.arange(len(values)),
        values=values,
        domains=np.repeat(np.array(names, dtype=object), counts),
    )
    refit = _HierarchicalRefit(main=fit, starts=starts, options=options)
    claims = {"": {"graph": "order", "order": len(graph.order) > 1, "effects": True}}
    main = _of_fit(fit)
    return Case(graph=graph, cells=cells, main=main, refit=refit, claims=claims, fit=fit)


def _ica_options(graph: CapabilityGraph) -> IcaOptions:
    options: Mapping[str, Any] = graph.facts.get("options", {})
    subspace: Subspace = "domain" if options.get("subspace") == "domain" else "shared"
    return IcaOptions(subspace=subspace, restarts=int(options.get("restarts", 24)))


def _fit(
    rows: DomainRows,
    starts: Float[np.ndarray, "domain k d"],
    generator: np.random.Generator,
    options: IcaOptions,
) -> HierarchicalFit:
    components = fit_components(
        rows, starts.shape[1], generator=generator, options=options, starts=list(starts)
    )
    found = search_components(rows, components)
    return assemble(rows, components, found, found.best)


@dataclass(frozen=True, kw_only=True, eq=False)
class _HierarchicalRefit:
    main: HierarchicalFit
    starts: Float[np.ndarray, "domain k d"]
    options: IcaOptions

    def __call__(self, cells: Cells, generator: np.random.Generator) -> Refit | None:
        blocks = [cells.values[cells.domains == name] for name in self.main.rows.names]
        try:
            fit = _fit(self.main.rows.replace(blocks), self.starts, generator, self.options)
        except (FitError, DataError):
            return None
        return _of_fit(fit, names=match_names(fit, self.main))


def _of_fit(fit: HierarchicalFit, *, names: tuple[str, ...] = ()) -> Refit:
    own = names or fit.names
    order = tuple(own[c] for c in fit.order)
    mean = fit.gauge.effects.mean(axis=0)
    pairs = [(i, j) for i in range(fit.k) for j in range(i + 1, fit.k)]
    return Refit(
        edges={("", order[i], order[j]): float(mean[i, j]) for i, j in pairs},
        marks={
            ("", frozenset((order[i], order[j]))): (order[i], order[j], "directed")
            for i, j in pairs
        },
        orders={"": order},
        score=float(fit.search.scores.min()),
    )
