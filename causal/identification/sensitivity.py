"""The same fit under other choices of rows, labels, scales, domains and sizes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from causal.hca.fit import HierarchicalFit, fit_domains
from causal.hca.gate import subspace_distance
from causal.hca.ica import IcaOptions, Subspace
from causal.hca.matching import match_names
from causal.scores.domains import EVIDENCE
from causal.scores.leaderboard import ScoreTable
from causal.scores.row_filters import RowFilter
from causal.scores.rows import DomainRows, Floats
from workbench.errors import WorkbenchError
from workbench.progress import Progress, silent
from workbench.result.tables import Table, columns_from

LEAST_ROWS = 30
BINS = 4
RANDOM_DRAWS = 9

Transform = Callable[[Floats], Floats]

COLUMNS = columns_from("""
    variant: What was changed; everything else as in the main fit.
    rows (models): Models used.
    max_inexactness: Lowest score of any order, 0 to 1.
    gap: Score of the second-best order minus that of the best.
    best_order: Best order; capabilities are matched to those of the main fit.
    random_rows: Median score of as many rows drawn at random from the main fit's.
    main_order_score: Score of the main fit's order under this change.
    subspace_distance: Shared subspace against the main fit's, 0 the same to 1.
    effect_change (points per point): Largest change of a domain's direct effect.
    problem: Why there is no fit.
""")


@dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    """One change: its rows, its number of capabilities, and what was done to the scores.

    With `other_subspace`, components are looked for in each domain's own directions if the main
    fit has shared ones, and the other way round.
    """

    group: str
    name: str
    rows: DomainRows
    k: int
    transform: Transform | None = None
    other_subspace: bool = False


def sensitivity(
    table: ScoreTable,
    main: HierarchicalFit,
    *,
    generator: np.random.Generator,
    options: IcaOptions | None = None,
    progress: Progress = silent,
) -> Table:
    """Refit under every variant and report what moves; a variant that fails says why.

    `table` is the whole leaderboard, `main` the fit to compare with.
    """
    options = options or IcaOptions()
    variants = list(all_variants(table, main))
    rows = []
    for index, variant in enumerate(variants):
        progress(index, len(variants), "variants")
        rows.append(_row(variant, main, generator, options))
    progress(len(variants), len(variants), "variants")
    return Table.from_rows(rows, COLUMNS)


def all_variants(table: ScoreTable, main: HierarchicalFit) -> Iterator[Variant]:
    """Yield every variant that has something to change."""
    yield Variant(group="main", name="as fitted", rows=main.rows, k=main.k)
    yield from _row_variants(table, main)
    yield from _scale_variants(main)
    if len(main.rows) > 2:
        for name in main.rows.names:
            rest = [other for other in main.rows.names if other != name]
            yield Variant(group="domain left out", name=name, rows=main.rows.select(rest), k=main.k)
    for k in range(2, min(4, len(main.rows.benchmarks)) + 1):
        if k != main.k:
            yield Variant(group="capabilities", name=f"k = {k}", rows=main.rows, k=k)
    if len(main.rows) > 1:
        yield Variant(
            group="subspace",
            name="other choice: each domain's own or shared",
            rows=main.rows,
            k=main.k,
            other_subspace=True,
        )
    yield from _wrong_domains(table, main)


def _row_variants(table: ScoreTable, main: HierarchicalFit) -> Iterator[Variant]:
    evidence = table.facts["evidence"]
    filters = {
        "duplicates left out": RowFilter(duplicates=True),
        "merges left out": RowFilter(merges=True),
        "mixtures left out": RowFilter(mixtures=True),
        "flagged left out": RowFilter(flagged=True),
        "worse than base left out": RowFilter(worse_than_base=True),
        "all of these left out": RowFilter(
            duplicates=True, merges=True, mixtures=True, flagged=True, worse_than_base=True
        ),
    }
    masks = {
        f"evidence {stage} or stronger": evidence.isin(EVIDENCE[: i + 1]).to_numpy()
        for i, stage in enumerate(EVIDENCE[:-2])
    }
    masks["declared base only"] = evidence.isin(["declared", "declared-family"]).to_numpy()
    masks["architecture guess only"] = (evidence == "architecture").to_numpy()
    tables = [("label evidence", name, table.keep(mask)) for name, mask in masks.items()]
    tables += [("rows", name, rule.apply(table)) for name, rule in filters.items()]
    for group, name, kept in tables:
        if len(kept) < len(table):
            yield Variant(group=group, name=name, rows=_rows(kept, main), k=main.k)


def _rows(table: ScoreTable, main: HierarchicalFit) -> DomainRows:
    counts = table.domain_counts()
    empty = np.zeros((0, len(main.rows.benchmarks)))
    return main.rows.replace(
        [table.rows([n]).blocks[0] if n in counts else empty for n in main.rows.names]
    )


def _scale_variants(main: HierarchicalFit) -> Iterator[Variant]:
    rows = main.rows
    pooled = np.maximum(rows.pooled.std(axis=0), 1e-9)
    own = [np.maximum(block.std(axis=0), 1e-9) for block in rows.blocks]
    reference = own[main.search.reference]
    low, high = rows.pooled.min(), rows.pooled.max()
    yield _scaled(main, "z-scores over all rows", lambda x: x / pooled)
    yield Variant(
        group="scaling",
        name="z-scores within domains",
        rows=rows.replace([b / s for b, s in zip(rows.blocks, own, strict=True)]),
        k=main.k,
        transform=lambda x: x / reference,
    )
    yield _scaled(main, "ranks", lambda x: _ranks(x, rows.pooled))
    if low >= 0 and high <= 100:
        # Half a point keeps scores at the floor and the ceiling finite.
        yield _scaled(main, "log-odds", lambda x: np.log((x + 0.5) / (100.5 - x)))


def _scaled(main: HierarchicalFit, name: str, transform: Transform) -> Variant:
    rows = main.rows.replace([transform(block) for block in main.rows.blocks])
    return Variant(group="scaling", name=name, rows=rows, k=main.k, transform=transform)


def _ranks(x: Floats, pooled: Floats) -> Floats:
    ordered = np.sort(pooled, axis=0)
    columns = [np.searchsorted(o, c) for o, c in zip(ordered.T, x.T, strict=True)]
    return np.stack(columns, axis=1) / len(pooled)


def _wrong_domains(table: ScoreTable, main: HierarchicalFit) -> Iterator[Variant]:
    """Split the same leaderboard by things that are not the base model."""
    frame = table.facts
    known = (frame["domain"] != "").to_numpy()
    if "type" in frame:
        yield from _split(table, main, "type", frame["type"].where(known, "").to_numpy())
    if "parameters_b" in frame:
        size = frame["parameters_b"].to_numpy(dtype=np.float64)
        usable = known & (size > 0)
        edges = np.quantile(size[usable], np.linspace(0, 1, BINS + 1)[1:-1]) if usable.any() else []
        bins = np.array([f"size {b + 1} of {BINS}" for b in np.digitize(size, edges)])
        yield from _split(table, main, "size", np.where(usable, bins, ""))


def _split(
    table: ScoreTable, main: HierarchicalFit, what: str, labels: np.ndarray
) -> Iterator[Variant]:
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    large = [str(n) for n, c in zip(names, counts, strict=True) if c >= 3 * LEAST_ROWS]
    scores = table.numbers[list(main.rows.benchmarks)].to_numpy(dtype=np.float64)
    if len(large) > 1:
        rows = DomainRows(
            names=tuple(large[:6]),
            benchmarks=main.rows.benchmarks,
            blocks=tuple(scores[labels == name] for name in large[:6]),
        )
        yield Variant(group="wrong domains", name=f"split by {what}", rows=rows, k=main.k)


def _row(
    variant: Variant,
    main: HierarchicalFit,
    generator: np.random.Generator,
    options: IcaOptions,
) -> dict[str, object]:
    row: dict[str, object] = {
        "group": variant.group,
        "variant": variant.name,
        "domains": ", ".join(
            f"{n} {c}" for n, c in zip(variant.rows.names, variant.rows.counts, strict=True)
        ),
        "rows": sum(variant.rows.counts),
        **dict.fromkeys([c for c in COLUMNS if c not in ("variant", "rows")]),
    }
    small = [
        n for n, c in zip(variant.rows.names, variant.rows.counts, strict=True) if c < LEAST_ROWS
    ]
    if small:
        return {**row, "problem": f"fewer than {LEAST_ROWS} rows in {', '.join(small)}"}
    own = options if not variant.other_subspace else replace(options, subspace=_other(options))
    try:
        fit = fit_domains(variant.rows, variant.k, generator=generator, options=own)
    except WorkbenchError as error:
        return {**row, "problem": error.message}
    row["random_rows"] = _random_rows(variant, main, generator, options)
    return {**row, **_compare(replace(fit, names=match_names(fit, main, variant.transform)), main)}


def _other(options: IcaOptions) -> Subspace:
    return "domain" if options.subspace == "shared" else "shared"


def _random_rows(
    variant: Variant,
    main: HierarchicalFit,
    generator: np.random.Generator,
    options: IcaOptions | None,
) -> float | None:
    """Score random rows in the same numbers: fewer rows alone raise the score."""
    if variant.group not in ("label evidence", "rows"):
        return None
    scores = []
    for _ in range(RANDOM_DRAWS):
        blocks = [
            block[generator.choice(len(block), size=min(n, len(block)), replace=False)]
            for block, n in zip(main.rows.blocks, variant.rows.counts, strict=True)
        ]
        try:
            fit = fit_domains(
                main.rows.replace(blocks), main.k, generator=generator, options=options
            )
        except WorkbenchError:
            continue
        scores.append(fit.search.scores.min())
    return float(np.median(scores)) if scores else None


def _compare(fit: HierarchicalFit, main: HierarchicalFit) -> dict[str, object]:
    scores = {
        tuple(fit.names[c] for c in order): float(score)
        for order, score in zip(fit.search.orders, fit.search.scores, strict=True)
    }
    k = min(fit.k, main.k)
    same = main.order_names in scores and fit.rows.benchmarks == main.rows.benchmarks
    return {
        "max_inexactness": float(fit.search.scores.min()),
        "gap": fit.search.gap if np.isfinite(fit.search.gap) else None,
        "best_order": " → ".join(fit.order_names),
        "main_order_score": scores.get(main.order_names),
        "subspace_distance": subspace_distance(fit.canonical.h[:k], main.canonical.h[:k])
        if fit.k == main.k
        else None,
        "effect_change": _effect_change(fit, main) if same else None,
    }


def _effect_change(fit: HierarchicalFit, main: HierarchicalFit) -> float | None:
    shared: Sequence[str] = [n for n in main.rows.names if n in fit.rows.names]
    if not shared:
        return None
    wanted = tuple(fit.names.index(name) for name in main.order_names)
    other = fit.with_order(fit.search.orders.index(wanted))
    mine = other.gauge.effects[[fit.rows.names.index(n) for n in shared]]
    theirs = main.gauge.effects[[main.rows.names.index(n) for n in shared]]
    return float(np.abs(mine - theirs).max())
