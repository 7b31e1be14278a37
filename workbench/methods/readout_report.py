"""Held-out scores of a readout as tables, estimates and views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.methods.contracts import Readout, StoredReadout
from workbench.methods.labels import Labelled, Targets
from workbench.methods.scores import CLASS_METRICS, NUMBER_METRICS, UNITS, HeldOut
from workbench.model.sites import Site
from workbench.result.estimate import Estimate
from workbench.result.intervals import Interval, NoInterval, correct, permutation_p
from workbench.result.result import Note, Result
from workbench.result.tables import Column, Table
from workbench.result.views import Bars, Curve, Heatmap, Points, View

_LEVEL = 0.05

Correction = Literal["bh", "by", "holm", "max"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SiteScore:
    """How a probe did at one site, and how its controls did.

    `constant` is the majority class or the mean, `null` the scores on shuffled labels, `random`
    the mean score on random vectors; `readout` is fitted on all examples.
    """

    site: Site
    metric: str
    held: HeldOut
    interval: Interval | NoInterval
    constant: float
    null: Float[np.ndarray, " draw"]
    random: float
    readout: Readout

    @property
    def value(self) -> float:
        """The score on held-out examples."""
        return float(self.held.measure(self.metric)[0])

    @property
    def p(self) -> float:
        """The chance of such a score when labels are shuffled."""
        return permutation_p(self.value, self.null)


def report(
    scores: Sequence[SiteScore], rows: Sequence[Labelled], found: Targets, *, correction: Correction
) -> Result:
    """Build the result: one row per site, and the examples at the best site."""
    corrected = _corrected(scores, correction)
    best = max(range(len(scores)), key=lambda i: scores[i].value)
    tables = {
        "sites": _site_table(scores, corrected, found, correction),
        "examples": _example_table(scores[best], rows, found),
    }
    if found.classes:
        tables["confusion"] = _confusion(scores[best].held)
    estimates = _estimates(scores, corrected, best, found)
    return Result(
        summary=f"{_verdict(scores[best], corrected[best])}: {estimates[0]}, "
        f"p = {corrected[best]:.3g} ({correction}-corrected over {len(scores)} sites)",
        estimates=estimates,
        tables=tables,
        arrays=_weights(scores),
        notes=_notes(scores, corrected, found),
        views=_views(scores, found),
    )


def _verdict(best: SiteScore, p: float) -> str:
    if p <= _LEVEL:
        return f"The label is read off {best.site} better than shuffled labels are"
    return f"It is not shown that the label can be read, best is {best.site}"


def _corrected(scores: Sequence[SiteScore], method: Correction) -> Float[np.ndarray, " site"]:
    if method != "max":
        return np.asarray(correct([s.p for s in scores], method=method))
    highest = np.max([s.null for s in scores], axis=0)
    return np.array([permutation_p(s.value, highest) for s in scores])


def _site_table(
    scores: Sequence[SiteScore],
    corrected: Float[np.ndarray, " site"],
    found: Targets,
    correction: Correction,
) -> Table:
    metric = scores[0].metric
    others = [m for m in (CLASS_METRICS if found.classes else NUMBER_METRICS) if m != metric]
    table_rows = [
        {
            "site": str(s.site),
            "layer": s.site.layer,
            "score": s.value,
            "low": s.interval.low,
            "high": s.interval.high,
            "majority": s.constant,
            "shuffled": float(s.null.mean()),
            "shuffled_high": float(np.quantile(s.null, 0.95)),
            "random": s.random,
            "p": s.p,
            "p_corrected": float(p),
            **{m: float(s.held.measure(m)[0]) for m in others},
            "n": len(found.y),
            "n_groups": found.n_groups,
        }
        for s, p in zip(scores, corrected, strict=True)
    ]
    columns = _site_columns(scores[0], found, correction, others)
    return Table.from_rows(table_rows, columns)


def _site_columns(
    first: SiteScore, found: Targets, correction: Correction, others: Sequence[str]
) -> dict[str, Column]:
    unit = UNITS[first.metric]
    words = first.metric.replace("_", " ")
    constant = "commonest class" if found.classes else "mean"
    return {
        "site": Column(help="Where the vectors were read."),
        "layer": Column(help="Layer, counted from 0."),
        "score": Column(unit, f"Held-out {words}.", "low", "high"),
        "low": Column(unit, "Lower end of the 95 % interval over groups."),
        "high": Column(unit, "Upper end of the interval."),
        "majority": Column(unit, f"Control: always the {constant} of the training part."),
        "shuffled": Column(unit, f"Control: mean of {len(first.null)} shuffles of labels."),
        "shuffled_high": Column(unit, "95th percentile of the shuffles."),
        "random": Column(unit, "Control: random vectors of the same size and length."),
        "p": Column(help="One-sided permutation p-value against the shuffles."),
        "p_corrected": Column(help=f"The p-value corrected over sites ({correction})."),
        **{m: Column(UNITS[m], f"Held-out {m.replace('_', ' ')}.") for m in others},
        "n": Column("texts", "Examples."),
        "n_groups": Column("groups", "Groups, which never fall on both sides of a split."),
    }


def _example_table(best: SiteScore, rows: Sequence[Labelled], found: Targets) -> Table:
    held = best.held
    predicted = held.predicted
    table_rows = []
    for i, row in sorted(enumerate(rows), key=lambda pair: pair[1].place):
        cells: dict[str, Any] = {"source": row.source, "text": row.text, "group": row.group}
        if found.classes:
            right = bool(predicted[i] == held.y[i])
            cells |= {"label": str(held.y[i]), "predicted": str(predicted[i]), "right": right}
            cells["margin"] = _margin(held, i)
        else:
            cells |= {"label": float(held.y[i]), "predicted": float(predicted[i])}
        table_rows.append(cells | {"fold": int(held.fold[i])})
    columns = {
        "source": Column(help="File and line."),
        "text": Column(help="The beginning of the text."),
        "label": Column(help="The truth."),
        "predicted": Column(help=f"Held-out answer at {best.site}."),
        "margin": Column(help="Score of the true class above the best other; negative is wrong."),
        "fold": Column(help="Which fold held it out."),
    }
    return Table.from_rows(table_rows, columns)


def _margin(held: HeldOut, row: int) -> float:
    true = held.classes.index(str(held.y[row]))
    others = np.delete(held.scores[row], true)
    return float(held.scores[row, true] - others.max())


def _confusion(held: HeldOut) -> Table:
    predicted = held.predicted
    cells = [
        {
            "label": label,
            "predicted": answer,
            "count": int(np.sum((held.y == label) & (predicted == answer))),
        }
        for label in held.classes
        for answer in held.classes
    ]
    return Table.from_rows(cells, {"count": Column("texts", "Held-out examples at the best site.")})


def _estimates(
    scores: Sequence[SiteScore],
    corrected: Float[np.ndarray, " site"],
    best: int,
    found: Targets,
) -> tuple[Estimate, ...]:
    several = len(scores) > 1
    s = scores[best]
    note = f"at {s.site}, corrected p = {corrected[best]:.3g}"
    if several:
        note += f"; the highest of {len(scores)} sites, chosen on the same examples"
    name = f"best {s.metric}" if several else s.metric
    head = _estimate(name, s.value, found, scores=scores, at=best, note=note)
    if not several:
        return (head,)
    mean = float(np.mean([one.value for one in scores]))
    note = f"mean over {len(scores)} sites"
    return (head, _estimate(f"mean {s.metric}", mean, found, scores=scores, at=None, note=note))


def _estimate(
    name: str,
    value: float,
    found: Targets,
    *,
    scores: Sequence[SiteScore],
    at: int | None,
    note: str,
) -> Estimate:
    interval = scores[at].interval if at is not None else None
    control = scores[at].null.mean() if at is not None else np.mean([s.null for s in scores])
    return Estimate(
        name=name,
        value=value,
        unit=UNITS[scores[0].metric],
        n=found.n_groups,
        n_unit="groups" if found.is_grouped else "texts",
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=f"held out; {interval.method}" if interval is not None else "held out",
        control=float(control),
        control_name="shuffled labels",
        note=note,
    )


def _weights(scores: Sequence[SiteScore]) -> Mapping[str, NDArray[Any]]:
    """The readouts fitted on all examples, for those that can be written down."""
    return {
        f"{s.site}/{name}": array
        for s in scores
        if isinstance(s.readout, StoredReadout)
        for name, array in s.readout.arrays().items()
    }


def _notes(
    scores: Sequence[SiteScore], corrected: Float[np.ndarray, " site"], found: Targets
) -> tuple[Note, ...]:
    notes = []
    if corrected.min() > _LEVEL:
        notes.append(Note("no site scores above shuffled labels at the 5 % level", "warning"))
    smallest = 1 / (len(scores[0].null) + 1)
    if smallest > _LEVEL:
        notes.append(Note(f"with {len(scores[0].null)} shuffles no p is below {smallest:.3g}"))
    if found.classes and all(_looks_numeric(c) for c in found.classes):
        notes.append(Note(f"the numbers {', '.join(found.classes)} were read as classes"))
    return tuple(notes)


def _looks_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _views(scores: Sequence[SiteScore], found: Targets) -> tuple[View, ...]:
    controls = ("majority", "shuffled", "random")
    title = f"Held-out {scores[0].metric.replace('_', ' ')}"
    views: list[View] = []
    layers = [s.site.layer for s in scores]
    if None not in layers and len(set(layers)) == len(layers) > 1:
        views.append(Curve(title, "sites", x="layer", y=("score",), control=controls))
    else:
        views.append(Bars(title, "sites", x="site", y="score", control="shuffled"))
    if found.classes:
        views.append(
            Heatmap(
                "Held-out answers at the best site",
                "confusion",
                row="label",
                column="predicted",
                value="count",
            )
        )
    else:
        views.append(
            Points(
                "Held-out answers at the best site",
                "examples",
                x="label",
                y="predicted",
                label="source",
                diagonal=True,
            )
        )
    return tuple(views)
