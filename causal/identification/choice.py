"""Which domains are fitted together: every choice scored, as the published analysis chooses."""

from dataclasses import dataclass

import numpy as np

from causal.hca.components import fit_components
from causal.hca.fit import HierarchicalFit, assemble, search_components
from causal.hca.ica import IcaFit, IcaOptions
from causal.hca.triangular import fit_triangular
from causal.identification.nulls import Subset, all_subsets
from causal.scores.rows import DomainRows
from workbench.errors import BadOption


@dataclass(frozen=True, kw_only=True, eq=False)
class SubsetScore:
    """How one choice of domains fits: its components, best order, score and domains' shares."""

    subset: Subset
    names: tuple[str, ...]
    score: float
    gap: float
    inexactness: tuple[float, ...]
    components: tuple[IcaFit, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """The domains that may be fitted together, and every choice of them scored."""

    rows: DomainRows
    subsets: tuple[SubsetScore, ...]

    @property
    def best(self) -> SubsetScore:
        """The choice of domains with the lowest score."""
        return min(self.subsets, key=lambda subset: subset.score)

    def fit(self) -> HierarchicalFit:
        """Return the fit of that choice."""
        rows, components = self.rows.select(self.best.names), self.best.components
        found = search_components(rows, components)
        return assemble(rows, components, found, found.best)


def choose_domains(
    rows: DomainRows,
    k: int,
    *,
    least: int = 4,
    generator: np.random.Generator,
    options: IcaOptions | None = None,
) -> Candidates:
    """Score every choice of at least `least` domains (all of them when there are fewer).

    Choosing the lowest of several scores is what the published analysis does; the rotation null
    of `identify` repeats the choice.

    Raises:
        BadOption: more choices than can be searched.
    """
    least = min(least, len(rows))
    subsets = all_subsets(len(rows), least)
    if len(subsets) > 600:
        raise BadOption(
            f"{len(rows)} domains give {len(subsets)} choices of at least {least}",
            hint="name the domains, or raise the least number",
        )
    # Every choice starts from the components of all candidates, so that it finds the same mode.
    whole = fit_components(rows, k, generator=generator, options=options)
    scored = []
    for subset in subsets:
        chosen = rows.select([rows.names[i] for i in subset])
        starts = [whole[i].unmixing for i in subset]
        components = fit_components(chosen, k, generator=generator, options=options, starts=starts)
        scored.append(_score_subset(chosen, subset, components))
    return Candidates(rows=rows, subsets=tuple(scored))


def _score_subset(rows: DomainRows, subset: Subset, components: tuple[IcaFit, ...]) -> SubsetScore:
    found = search_components(rows, components)
    unmixing = np.array([c.unmixing for c in components])
    fit = fit_triangular(unmixing, found.alignments[found.best])
    return SubsetScore(
        subset=subset,
        names=rows.names,
        components=components,
        score=float(found.scores.min()),
        gap=found.gap,
        inexactness=tuple(float(v) for v in fit.inexactness),
    )
