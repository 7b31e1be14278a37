"""Erase a concept from the states of every layer and see what probes still find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import BadRows
from workbench.methods.contracts import Context, Example
from workbench.methods.eraser import Eraser, Whitening, inlp, leace, one_hot
from workbench.methods.kernel_probe import SHAPES, held_out_scores
from workbench.methods.labels import check_labels
from workbench.methods.registry import probe
from workbench.methods.splits import folds
from workbench.methods.study_report import study_report
from workbench.methods.text_vectors import text_vectors
from workbench.model.edits import Op
from workbench.model.model import Model
from workbench.model.site_patterns import expand
from workbench.model.sites import Site
from workbench.options import option
from workbench.result.estimate import Estimate
from workbench.result.metric import Axis, Control, Plot, number, share
from workbench.result.result import Note, Result
from workbench.result.samples import VALUE, Samples
from workbench.result.tables import columns_from

_AXES = ("reader", "layer")
METRICS = {
    "before": share("Held-out texts whose value the probe tells.", *_AXES),
    "after": share("The same after erasing.", *_AXES),
    "moved": number("proportion", "Length of what is taken away over that from the mean.", "layer"),
}
CONTROLS = {
    "constant": Control("commonest value", "always the commonest value of all texts"),
    "shuffled": Control("shuffled labels", "the probe fitted to shuffled labels"),
    "random": Control("random subspace", "a random subspace of the same rank erased"),
}
_COLUMNS = columns_from("""
    layer: Layer whose output is erased.
    rank (dimensions): Dimensions taken away.
    op: What the kept edit does.
    site: Where it does it.
    array: The array that holds its value.
    left_over (proportion): Covariance with the labels left after fitting to all.
""")


@dataclass(frozen=True, kw_only=True, eq=False)
class Concepts:
    """The values of the concept, then of each control, by text; None where there is none."""

    values: Mapping[str, Sequence[str | None]]
    groups: NDArray[np.generic]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def hot(self, name: str, rows: NDArray[np.intp]) -> Float[np.ndarray, "n n_class"]:
        """Return the values of some texts one-hot; a row of zeros where there is none."""
        return one_hot([str(self.values[name][i]) for i in rows], self.classes[name])


@probe("concept-erasure", source="Belrose et al. 2023, LEACE, arXiv:2306.03819")
@dataclass(frozen=True, kw_only=True)
class ConceptErasure:
    """Erase a labelled concept from each layer and measure what linear and quadratic probes find.

    LEACE: r(h) = h − W⁺UUᵀW(h − μ), after which no linear probe beats a constant on the texts it
    was fitted to; INLP projects onto the intersection of the null spaces of probes. Erasers and
    probes are fitted to four fifths of the groups and judged on the rest. With `controls`, states
    and labels are first freed of what these fields predict, and probes say whether the fields
    survive. The eraser of the best layer, fitted to all texts, is an edit that the run lends.

    Linear erasure leaves what only a non-linear probe reads, and a change of behaviour after it is
    no causal effect by itself.

    Units: shares of held-out texts; rank in dimensions.

    Raises:
        BadRows: labels are missing or too few; a control is no field of the rows.

    Source: LEACE, theorem 4.3, in float64; INLP, Ravfogel et al. 2020, arXiv:2004.07667. We
    differ: control fields are partialled out, and probes are closed-form ridge fits.
    """

    label_words: ClassVar = "values of the concept"

    controls: tuple[str, ...] = option((), help="Fields of the rows whose values should survive.")
    method: Literal["leace", "inlp"] = option("leace", help="Which eraser is fitted.")
    states: Literal["last", "mean"] = option("last", help="Last token of a text, or mean of all.")
    layers: str = option("*", help="Layers to erase, each by itself: all, or a slice as 10:20:2.")
    n_folds: int = option(5, help="Parts the texts are split into, groups whole.", low=2, high=100)
    draws: int = option(5, help="Random subspaces erased for comparison.", low=1, high=1000)
    shuffles: int = option(10, help="Shuffled labels for comparison.", low=1, high=1000)
    shrinkage: bool = option(True, help="Shrink correlations where LEACE whitens.")

    def study(self, model: Model, examples: Sequence[Example], context: Context) -> Result:
        known = self._concepts(examples)
        where = f"resid_post.{self.layers}" + ("[-1]" if self.states == "last" else "")
        sites = expand([where], model.spec)
        states = text_vectors(model, [e.text for e in examples], sites, context)
        name = next(iter(known.values))
        label = np.array(known.values[name])
        fold = folds(
            label, known.groups, n_folds=self.n_folds, generator=context.stream("erasure folds")
        )
        found = []
        for i, site in enumerate(sites):
            found.append(self._judged(states[site], known, fold, context))
            context.progress(i + 1, len(sites), "layers erased")
        whole = np.arange(len(label))
        erasers = {site: self._fitted(states[site], known, whole) for site in sites}
        return _report(known, found, erasers)

    def _concepts(self, examples: Sequence[Example]) -> Concepts:
        check_labels(examples, target="classes", n_folds=self.n_folds)
        values: dict[str, list[str | None]] = {"label": [str(e.label) for e in examples]}
        problems = []
        for name in self.controls:
            given = [e.fields.get(name) for e in examples]
            values[name] = [None if x in (None, "") else str(x) for x in given]
            if len({x for x in values[name] if x is not None}) < 2:
                problems.append(f"the field {name!r} has fewer than two values")
        if problems:
            raise BadRows("; ".join(problems), hint="name fields of the rows with --controls")
        groups = np.array([e.group or f"\0{i}" for i, e in enumerate(examples)])
        classes = {k: tuple(sorted({x for x in v if x is not None})) for k, v in values.items()}
        return Concepts(values=values, groups=groups, classes=classes)

    def _fitted(self, x: NDArray[np.float32], known: Concepts, rows: NDArray[np.intp]) -> Eraser:
        name, *others = known.values
        controls = np.column_stack([known.hot(other, rows) for other in others]) if others else None
        fit = partial(leace, shrinkage=self.shrinkage) if self.method == "leace" else inlp
        return fit(x[rows], known.hot(name, rows), controls)

    def _judged(
        self, x: NDArray[np.float32], known: Concepts, fold: NDArray[np.int64], context: Context
    ) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Return every metric of every kind, `text concept probe` or `text`."""
        empty = partial(np.full, (len(x), len(known.values), len(SHAPES)), np.nan)
        found = {k: {"before": empty(), "after": empty()} for k in (VALUE, "constant", "shuffled")}
        found["random"] = {"after": np.zeros_like(empty()), "moved": np.zeros(len(x))}
        found[VALUE]["moved"] = np.zeros(len(x))
        draw = context.stream("erasure controls")
        for part in np.unique(fold):
            train, test = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
            eraser, white = self._fitted(x, known, train), Whitening.of(x[train], shrinkage=True)
            order = [draw.permutation(len(train)) for _ in range(self.shuffles)]
            for when, y in (("before", x), ("after", eraser.erase(x))):
                right, null, constant = _right(y, known, train, test, order)
                found[VALUE][when][test] = right
                found["shuffled"][when][test] = null
                found["constant"][when][test] = constant
            found[VALUE]["moved"][test] = _moved(eraser, x[test])
            for _ in range(self.draws):
                other = white.random(eraser.rank, draw)
                right, _, _ = _right(other.erase(x), known, train, test, [])
                found["random"]["after"][test] += right / self.draws
                found["random"]["moved"][test] += _moved(other, x[test]) / self.draws
        return found


def _moved(eraser: Eraser, x: NDArray[np.float32]) -> Float[np.ndarray, " n"]:
    away = np.linalg.norm(x - eraser.mean, axis=1)
    return np.asarray(np.linalg.norm(eraser.component(x), axis=1) / np.maximum(away, 1e-12))


def _right(
    x: NDArray[np.floating],
    known: Concepts,
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    order: Sequence[NDArray[np.intp]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return which held-out values each probe tells: true labels, shuffled ones, a constant."""
    shape = (len(test), len(known.values), len(SHAPES))
    right, null, constant = (np.full(shape, np.nan) for _ in range(3))
    for i, name in enumerate(known.values):
        there = known.hot(name, train)
        goal = known.hot(name, test)
        has = goal.any(axis=1)
        goals, k = goal.argmax(axis=1), goal.shape[1]
        targets = np.column_stack([there, *(there[p] for p in order)])
        # The commonest value of the training part is rarer in the held-out one.
        commonest = (there.sum(axis=0) + goal.sum(axis=0)).argmax()
        for j, kind in enumerate(SHAPES):
            scores = held_out_scores(x[train], targets, x[test], shape=kind)
            told = scores.reshape(len(test), -1, k).argmax(axis=2) == goals[:, None]
            right[has, i, j] = told[has, 0]
            if order:
                null[has, i, j] = told[has, 1:].mean(axis=1)
            constant[has, i, j] = goals[has] == commonest
    return right, null, constant


def _samples(
    known: Concepts,
    found: Sequence[Mapping[str, Mapping[str, NDArray[np.float64]]]],
    layers: tuple[int, ...],
    readers: tuple[str, ...],
) -> Samples:
    n = len(known.groups)
    return Samples.of(
        {
            kind: {
                name: np.stack([one[kind][name].reshape(n, *wide) for one in found], axis=-1)
                for name in part
                for wide in [() if name == "moved" else (len(readers),)]
            }
            for kind, part in found[0].items()
        },
        METRICS,
        groups=np.unique(known.groups, return_inverse=True)[1],
        controls_of=CONTROLS,
        axes_of={
            "reader": Axis(help="What a probe tells, and its kind.", labels=readers),
            "layer": Axis(help="Layer whose output is erased.", labels=layers),
        },
    )


def _told(before: Estimate, layer: int) -> str:
    return before.told(
        f"A linear probe {{}} at layer {layer}",
        *("tells the label best", "tells less than the commonest value, most"),
        "is not shown to tell the label, best is what it tells",
    )


def _report(
    known: Concepts,
    found: Sequence[Mapping[str, Mapping[str, NDArray[np.float64]]]],
    erasers: Mapping[Site, Eraser],
) -> Result:
    layers = tuple(site.layer or 0 for site in erasers)
    readers = tuple(f"{name} ({shape})" for name in known.values for shape in SHAPES)
    samples = _samples(known, found, layers, readers)
    best = int(samples.mean("before").value[0].argmax())
    estimates = [
        samples.estimate(when, "constant", at={"reader": reader, "layer": layers[best]})
        for reader in readers
        for when in ("before", "after")
    ]
    site, eraser = list(erasers.items())[best]
    result = study_report(
        samples,
        summary=f"{_told(estimates[0], layers[best])}; erased, {estimates[1]}; "
        f"a quadratic one then {estimates[3]}.",
        averages={"accuracy": _AXES, "distance": ("layer",)},
        rows={
            "erasers": [
                {"layer": s.layer, "rank": e.rank, "left_over": e.left_over}
                for s, e in erasers.items()
            ],
            "edits": [{"op": str(Op.AFFINE), "site": str(site), "array": "affine"}],
        },
        columns=_COLUMNS,
        plots=(
            Plot(title="What probes tell after erasing", metrics=("after",), axes=_AXES),
            Plot(title="What probes tell before", metrics=("before",), axes=_AXES),
            Plot(title="Length taken away by layer", metrics=("moved",)),
        ),
        estimates=estimates,
        notes=[Note(f"the eraser of {site} is an edit: --edit run:RUN", "info", "edit-kept")],
    )
    product = np.asarray(eraser.edit(site).value, dtype=np.float32)
    return replace(result, arrays={"affine": product})
