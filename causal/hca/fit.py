"""The hierarchical fit of one set of domains, from rows to anchored effects."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from causal.hca.alignment import Search, search
from causal.hca.components import fit_components
from causal.hca.gauge import Anchoring, Gauge, anchor
from causal.hca.ica import IcaFit, IcaOptions
from causal.hca.triangular import TriangularFit, fit_triangular
from causal.scores.rows import DomainRows


@dataclass(frozen=True, kw_only=True, eq=False)
class HierarchicalFit:
    """One order of capabilities fitted to several domains.

    Components are numbered as independent component analysis found them in the reference domain
    (the largest); `names[c]` is the benchmark that component c moves most. `order` lists
    components source first, and row i of every matrix belongs to `order[i]`.
    """

    rows: DomainRows
    components: tuple[IcaFit, ...]
    search: Search
    chosen: int
    names: tuple[str, ...]
    triangular: TriangularFit
    anchoring: Anchoring

    @property
    def k(self) -> int:
        """Number of capabilities."""
        return len(self.names)

    @property
    def unmixing(self) -> Float[np.ndarray, "domain k d"]:
        """The unmixing matrices with rows as independent component analysis found them."""
        return np.array([c.unmixing for c in self.components])

    @property
    def alignment(self) -> Int[np.ndarray, "domain k"]:
        """Component of each domain at each place of the order."""
        best: NDArray[np.int64] = self.search.alignments[self.chosen]
        return best

    @property
    def order(self) -> tuple[int, ...]:
        """Components of the reference domain, source first."""
        return self.search.orders[self.chosen]

    @property
    def order_names(self) -> tuple[str, ...]:
        """Names of the capabilities, source first."""
        return tuple(self.names[c] for c in self.order)

    @property
    def gauge(self) -> Gauge:
        """Capabilities in points of their anchors."""
        return self.anchoring.gauge

    @property
    def canonical(self) -> Gauge:
        """Capabilities with orthonormal weights, in score points."""
        return canonical_gauge(self.triangular)

    @property
    def score(self) -> float:
        """Largest inexactness of any domain under the chosen order."""
        return self.triangular.score

    @property
    def anchor_names(self) -> tuple[str, ...]:
        """Benchmark in whose points each capability is expressed."""
        return tuple(self.rows.benchmarks[j] for j in self.anchoring.anchors)

    def with_order(self, index: int) -> "HierarchicalFit":
        """Return the best fit under another order of `search.orders`."""
        return assemble(self.rows, self.components, self.search, index)


def canonical_gauge(fit: TriangularFit) -> Gauge:
    """Return the fitted matrices as a gauge."""
    return Gauge(h=fit.h, b=fit.b, offset=np.zeros(len(fit.h)))


def fit_domains(
    rows: DomainRows,
    k: int,
    *,
    generator: np.random.Generator,
    options: IcaOptions | None = None,
) -> HierarchicalFit:
    """Fit components, alignment, shared map and effects to the given domains.

    Raises:
        TooLittleData: a domain has fewer rows than columns or varies in fewer than k directions.
        NotFinite: a score is missing.
        FitError: components did not settle, or a capability vanishes.
    """
    components = fit_components(rows, k, generator=generator, options=options)
    found = search_components(rows, components)
    return assemble(rows, components, found, found.best)


def search_components(rows: DomainRows, components: tuple[IcaFit, ...]) -> Search:
    """Search all alignments with the largest domain as reference."""
    unmixing = np.array([c.unmixing for c in components])
    return search(unmixing, reference=int(np.argmax(rows.counts)))


def assemble(
    rows: DomainRows, components: tuple[IcaFit, ...], found: Search, index: int
) -> HierarchicalFit:
    """Build the fit for one order of a finished search."""
    unmixing = np.array([c.unmixing for c in components])
    alignment = found.alignments[index]
    triangular = fit_triangular(unmixing, alignment)
    # Names come from the best match whatever order is shown, so that they never change.
    match = found.alignments[found.best]
    return HierarchicalFit(
        rows=rows,
        components=components,
        search=found,
        chosen=index,
        names=_names(rows, components, match, found.reference),
        triangular=triangular,
        anchoring=anchor(canonical_gauge(triangular), rows.pooled),
    )


def _names(
    rows: DomainRows,
    components: tuple[IcaFit, ...],
    match: Int[np.ndarray, "domain k"],
    reference: int,
) -> tuple[str, ...]:
    """Name each component by the benchmark whose variance it explains best, each used once."""
    shares = np.mean(
        [
            c.mixing[:, own].T ** 2 / block.var(axis=0).clip(1e-12)
            for c, own, block in zip(components, match, rows.blocks, strict=True)
        ],
        axis=0,
    )
    places, benchmarks = linear_sum_assignment(shares, maximize=True)
    names = dict(zip(match[reference][places], benchmarks, strict=True))
    return tuple(rows.benchmarks[names[c]] for c in range(len(names)))
