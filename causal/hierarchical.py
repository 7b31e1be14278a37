"""Hierarchical component analysis over base-model domains."""

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from causal.hca.fit import HierarchicalFit
from causal.hca.gate import Gate, gate
from causal.hca.ica import IcaOptions, Subspace
from causal.identification.choice import Candidates, choose_domains
from causal.identification.evaluation import IdentificationOptions, identify
from causal.identification.published import beside_published
from causal.identification.sensitivity import sensitivity
from causal.planted.simulate import Design, Planted, plant
from causal.report.result import Analysis, report
from causal.scores.leaderboard import ScoreTable, bundled
from causal.scores.rows import DomainRows
from causal.scores.selection import left_out_notes
from causal.scores.snapshots import compare_snapshots
from causal.scores.table_options import SECTION, TableOptions
from workbench.errors import BadOption, TooLittleData
from workbench.methods.contracts import Context
from workbench.methods.registry import discovery
from workbench.options import option, plain
from workbench.result.result import Note, Result
from workbench.result.tables import Table

LEAST_ROWS = 20


@discovery("hierarchical", source="Jin, Syrgkanis, Kakade & Zhang 2025, arXiv:2506.10378")
@dataclass(frozen=True, kw_only=True)
class Hierarchical(TableOptions):
    """Find a few latent capabilities and ask whether the data fix their causal order.

    All fine-tunes of one base model form a domain. Domains whose scores vary in the same
    directions share a map z = H x; within domain e, z = A z + D ε with A lower triangular in one
    common order. Independent component analysis gives B H in every domain up to the order and
    signs of its rows, an exhaustive search matches components and orders, and B = D⁻¹(I − A)
    follows in closed form. Every order is scored by its largest mixing inexactness.

    The order is called identified only if it survives resampling, simulation of every rival
    order, random rotations under the same choice of domains, and a test for Gaussian noises.

    Units: scores and capabilities in points of the leaderboard (0 to 100); effects in points
    per point; inexactness unitless, 0 to 1. Intervals resample models within domains.

    Source: arXiv:2506.10378, with one gauge for weights and effects, one subspace for all domains,
    a stated gate threshold, a closed-form fit, restarts of component analysis and all the nulls
    added.
    """

    k: int = option(3, help="Number of capabilities.", low=1, high=4)
    domains: tuple[str, ...] = option((), help="Base models to fit; none given chooses by score.")
    least_domains: int = option(4, help="Fewest domains when choosing.", low=1, high=20)
    least_models: int = option(
        100, help="Fewest models of a domain.", low=LEAST_ROWS, section=SECTION
    )
    gate: float = option(0.05, help="Largest subspace distance between domains.", low=0.0, high=1.0)
    subspace: Subspace = option(
        "shared", help="Directions of all domains together, or each domain's own as published."
    )
    scaling: Literal["none", "pooled", "domain"] = option(
        "none", help="Divide scores by their SD over all rows, within domains, or not at all."
    )
    resamples: int = option(300, help="Bootstrap resamples, at most those of the run.", low=5)
    null_draws: int = option(200, help="Random rotations.", low=5)
    order_draws: int = option(100, help="Simulations of each order.", low=5)
    restarts: int = option(24, help="Starts of component analysis.", low=1, high=1000)
    variants: bool = option(True, help="Refit under other rows, labels, scales and domains.")

    def fit(self, table: Table, context: Context) -> Result:
        scores = self._scores(table)
        rows, gated = self._domain_rows(scores)
        ica = IcaOptions(restarts=self.restarts, subspace=self.subspace)
        candidates = choose_domains(
            rows,
            self.k,
            least=len(rows) if self.domains else self.least_domains,
            generator=context.stream("components"),
            options=ica,
        )
        fit = candidates.fit()
        found = identify(
            fit,
            candidates=candidates,
            options=self._identification(context, ica),
            progress=context.progress,
        )
        extra = self._beside(scores, fit, context, ica)
        compared, notes = _against_bundled(scores)
        return report(
            Analysis(
                table=scores,
                gate=gated,
                candidates=candidates,
                found=found,
                extra={**extra, **compared},
                notes=(*notes, *self._notes(scores, gated, candidates)),
                settings={
                    "snapshot": asdict(scores.snapshot),
                    "options": plain(self),
                    "seed": context.seed,
                    "domains": list(fit.rows.names),
                    "benchmarks": list(fit.rows.benchmarks),
                },
            )
        )

    def _beside(
        self, scores: ScoreTable, fit: HierarchicalFit, context: Context, ica: IcaOptions
    ) -> dict[str, Table]:
        found = self._variants(scores, fit, context)
        if self.scaling == "none":
            found |= beside_published(
                scores, fit, generator=context.stream("published"), options=ica
            )
        return found

    def _identification(self, context: Context, ica: IcaOptions) -> IdentificationOptions:
        return IdentificationOptions(
            resamples=min(self.resamples, context.resamples),
            null_draws=self.null_draws,
            order_draws=self.order_draws,
            seed=context.seed,
            keep=context.scratch if context.resume else None,
            ica=ica,
        )

    def _variants(
        self, scores: ScoreTable, fit: HierarchicalFit, context: Context
    ) -> dict[str, Table]:
        if not self.variants or self.scaling != "none":
            return {}
        found = sensitivity(
            scores,
            fit,
            generator=context.stream("variants"),
            options=IcaOptions(restarts=min(self.restarts, 8), subspace=self.subspace),
            progress=context.progress,
        )
        return {"sensitivity": found}

    def _scores(self, table: Table) -> ScoreTable:
        scores = self.scores_of(table)
        if self.k > len(scores.benchmarks):
            raise BadOption(
                f"k = {self.k} capabilities need at least as many benchmarks; there are "
                f"{len(scores.benchmarks)}: {', '.join(scores.benchmarks)}",
                hint="lower --k, or give more columns",
            )
        return scores

    def _notes(self, scores: ScoreTable, gated: Gate, candidates: Candidates) -> tuple[Note, ...]:
        small = left_out_notes(scores, gated.names, self._least(scores))
        return (*scores.notes, *small, *_gate_notes(gated, candidates))

    def _least(self, scores: ScoreTable) -> int:
        wanted = self.least_models if scores.has_domains else LEAST_ROWS
        return max(wanted, len(scores.benchmarks) + 2)

    def _domain_rows(self, scores: ScoreTable) -> tuple[DomainRows, Gate]:
        counts = scores.domain_counts()
        floor, least = len(scores.benchmarks) + 2, self._least(scores)
        large = [d for d, n in counts.items() if n >= least]
        if self.domains:
            # An unknown name is reported with the names that exist.
            scores.rows(self.domains)
            named = max(LEAST_ROWS, floor)
            small = [f"{d} ({counts[d]})" for d in self.domains if counts[d] < named]
            if small:
                raise TooLittleData(
                    f"domains with fewer than {named} models: {', '.join(small)}",
                    hint="leave them out",
                )
        elif not large:
            shown = ", ".join(f"{d} ({n})" for d, n in list(counts.items())[:8]) or "none"
            raise TooLittleData(
                f"no domain has {least} models or more; the largest are {shown}",
                hint="lower --least-models, or name the column of domains with --domain-column",
            )
        names = list(dict.fromkeys((*self.domains, *large)))
        rows = _scaled(scores.rows(names), self.scaling)
        gated = gate(rows, self.k, threshold=self.gate)
        return rows.select(self.domains or gated.passed), gated

    @staticmethod
    def example(generator: np.random.Generator) -> Planted:
        """Four domains with a known graph over three capabilities."""
        return plant(Design(n=600), generator)


def _scaled(rows: DomainRows, scaling: str) -> DomainRows:
    if scaling == "pooled":
        spread = np.maximum(rows.pooled.std(axis=0), 1e-12)
        return rows.replace([block / spread for block in rows.blocks])
    if scaling == "domain":
        return rows.replace([b / np.maximum(b.std(axis=0), 1e-12) for b in rows.blocks])
    return rows


def _against_bundled(scores: ScoreTable) -> tuple[dict[str, Table], tuple[Note, ...]]:
    """Compare with the shipped snapshot, so that a stale file is noticed."""
    own = bundled()
    if scores.benchmarks != own.benchmarks or scores.snapshot.sha256 == own.snapshot.sha256:
        return {}, ()
    try:
        compared = compare_snapshots(scores, own)
    except TooLittleData:
        return {}, ()
    return {"snapshots": compared.table}, compared.notes


def _gate_notes(gated: Gate, candidates: Candidates) -> tuple[Note, ...]:
    left = [n for n in gated.names if n not in gated.passed]
    notes = []
    if left:
        notes.append(
            Note(
                f"gate at {gated.threshold:g}: {', '.join(left)} vary in other directions than "
                f"{', '.join(gated.passed)}",
                code="gate",
            )
        )
    outside = [n for n in candidates.best.names if n not in gated.passed]
    if outside:
        text = f"fitted although outside the gate: {', '.join(outside)}"
        notes.append(Note(text, "warning", "gate"))
    if len(candidates.subsets) > 1:
        notes.append(
            Note(
                f"the best of {len(candidates.subsets)} choices of domains is shown; the rotation "
                "null repeats the choice",
                code="chosen-domains",
            )
        )
    return tuple(notes)
