"""Held-out scores of a readout and of its controls, at every site."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.errors import BadOption, FitError, TooLittleData
from workbench.methods.contracts import Context, FitsMany, Readout, ReadoutProbe, ScaleFree
from workbench.methods.labels import Labelled, Target, Targets, targets
from workbench.methods.readout_report import Correction, SiteScore, report
from workbench.methods.scores import CLASS_METRICS, NUMBER_METRICS, RANGES, HeldOut
from workbench.methods.splits import folds, shuffled
from workbench.model.activations import Activations
from workbench.model.sites import Site
from workbench.options import option
from workbench.result.intervals import (
    Interval,
    NoInterval,
    bootstrap_weights,
    mean_interval,
    resampled,
)
from workbench.result.result import Result

_RANDOM_DRAWS = 5
_WEIGHTS_AT_ONCE = 4_000_000
# Shuffles are scored together: so many between two signs of life, in at most 16 MB.
_AT_ONCE = 25
_SCORES_AT_ONCE = 2_000_000

Metric = Literal["auto", "accuracy", "balanced_accuracy", "auroc", "r2", "correlation"]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a readout is judged."""

    n_folds: int = option(5, help="Cross-validation folds.", low=2, high=100)
    n_shuffles: int = option(
        50, help="Refits on shuffled labels; the smallest p is 1/(this + 1).", low=4, high=10_000
    )
    metric: Metric = option("auto", help="Score: auto is accuracy for classes, r2 for numbers.")
    target: Target = option("auto", help="Read labels as classes or as numbers.")
    correction: Correction = option(
        "bh", help="Correction over sites; max compares with the best shuffled site."
    )

    def metric_for(self, found: Targets) -> str:
        """Return the score to use for those labels.

        Raises:
            BadOption: the metric is for the other kind of labels.
        """
        known = CLASS_METRICS if found.classes else NUMBER_METRICS
        if self.metric == "auto":
            return known[0]
        if self.metric not in known:
            kind = "classes" if found.classes else "numbers"
            raise BadOption(f"metric {self.metric} is not for {kind}; use {', '.join(known)}")
        return self.metric


def evaluate(
    probe: ReadoutProbe,
    vectors: Mapping[Site, Float[np.ndarray, "n d_model"]],
    rows: Sequence[Labelled],
    context: Context,
    evaluation: Evaluation,
) -> Result:
    """Score a readout probe at every site on held-out examples, beside its controls.

    The same folds, shuffles and resamples serve every site, so that sites can be compared.
    Intervals resample groups (texts where there are none) with the held-out scores kept.

    Raises:
        BadRows: the labels or groups do not allow an evaluation; all problems at once.
        FitError: a fit failed; the message names the site.
    """
    if not vectors:
        raise TooLittleData("no text was counted", hint="give labelled texts")
    order = _by_content(rows, next(iter(vectors.values())))
    rows = [rows[i] for i in order]
    found = targets(rows, target=evaluation.target, n_folds=evaluation.n_folds)
    evaluator = _Evaluator(probe, found, context, evaluation)
    # One site at a time: the vectors may lie on disk.
    scores = [
        evaluator.score(site, vectors[site][order], i, len(vectors))
        for i, site in enumerate(vectors)
    ]
    return report(scores, rows, found, correction=evaluation.correction)


def _by_content(rows: Sequence[Labelled], x: Float[np.ndarray, "n d_model"]) -> list[int]:
    """Order rows by what they say, so that models share folds and names decide nothing.

    Rows without a text are told apart by their vectors, equal ones by their place.
    """
    return sorted(
        range(len(rows)),
        key=lambda i: (rows[i].content, b"" if rows[i].text else x[i].tobytes(), rows[i].place),
    )


class _Evaluator:
    """The folds and shuffles that all sites share."""

    def __init__(
        self, probe: ReadoutProbe, found: Targets, context: Context, evaluation: Evaluation
    ) -> None:
        self.probe, self.found, self.context = probe, found, context
        self.metric = evaluation.metric_for(found)
        self.fold = folds(
            found.y,
            found.groups,
            n_folds=evaluation.n_folds,
            generator=context.stream("readout folds"),
        )
        self._drawn: Float[np.ndarray, "draw n"] | None = None
        self._random: dict[int, float] = {}
        draw = context.stream("readout shuffles")
        self.shuffles = [
            shuffled(found.y, found.groups, self.fold, generator=draw)
            for _ in range(evaluation.n_shuffles)
        ]

    def score(self, site: Site, x: NDArray[np.float32], number: int, total: int) -> SiteScore:
        """Evaluate one site; `number` of `total` is for the progress."""
        data = Activations(x=torch.from_numpy(x), y=self.found.y, groups=self.found.groups)
        steps = len(self.shuffles) + 2
        try:
            readout = self.probe.fit(data)
            held = self._held_out(data, [data.y])[0]
            null: list[float] = []
            width = len(self.found.classes) or 1
            at_once = min(_AT_ONCE, max(1, _SCORES_AT_ONCE // (len(data) * width)))
            for first in range(0, len(self.shuffles), at_once):
                self.context.progress(number * steps + first, total * steps, f"fits at {site}")
                some = self.shuffles[first : first + at_once]
                null += [one.measure(self.metric)[0] for one in self._held_out(data, some)]
            noise = self._random_vectors(data)
        except FitError as error:
            raise FitError(f"{site}: {error.message}", hint=error.hint) from error
        self.context.progress((number + 1) * steps, total * steps, f"fits at {site}")
        return SiteScore(
            site=site,
            metric=self.metric,
            held=held,
            interval=self._interval(held),
            constant=self._constant(),
            null=np.array(null),
            random=noise,
            readout=readout,
        )

    def _held_out(self, data: Activations, labels: Sequence[NDArray[np.generic]]) -> list[HeldOut]:
        """Score readouts of each of several labellings; each fold is taken once for all."""
        scores = np.zeros((len(labels), len(data), len(self.found.classes) or 1))
        for number in np.unique(self.fold):
            inside, outside = (
                np.flatnonzero(self.fold == number),
                np.flatnonzero(self.fold != number),
            )
            train, held = data.take(outside), data.x[torch.from_numpy(inside)]
            readouts = self._fitted(train, [y[outside] for y in labels])
            for readout, of_labels in zip(readouts, scores, strict=True):
                given = readout.scores(held).cpu().double().numpy()
                of_labels[inside] = _in_order(given, readout, self.found.classes)
        if not np.isfinite(scores).all():
            raise FitError("the readout gives scores that are not finite")
        return [
            HeldOut(y=y, scores=one, fold=self.fold, classes=self.found.classes)
            for y, one in zip(labels, scores, strict=True)
        ]

    def _fitted(
        self, train: Activations, labels: Sequence[NDArray[np.generic]]
    ) -> Iterable[Readout]:
        if len(labels) > 1 and isinstance(self.probe, FitsMany):
            return self.probe.fit_each(train, labels)
        return (self.probe.fit(train.relabel(y)) for y in labels)

    def _random_vectors(self, data: Activations) -> float:
        """The mean score on Gaussian vectors of the same size and length."""
        width = data.x.shape[1]
        length = float(data.x.norm(dim=1).mean()) / width**0.5
        # The draws are those of every other site of that width, but for their length.
        is_known = isinstance(self.probe, ScaleFree) and self.probe.is_scale_free and length > 0
        if is_known and width in self._random:
            return self._random[width]
        draw = self.context.stream("readout random vectors")
        values = []
        for _ in range(_RANDOM_DRAWS):
            noise = draw.standard_normal(tuple(data.x.shape), dtype=np.float32) * length
            other = Activations(x=torch.from_numpy(noise), y=data.y, groups=data.groups)
            values.append(self._held_out(other, [data.y])[0].measure(self.metric)[0])
        found = float(np.mean(values))
        if is_known:
            self._random[width] = found
        return found

    def _constant(self) -> float:
        """The score of always answering the commonest class, or the mean, of the training part."""
        if self.metric == "correlation":
            return 0.0  # a constant does not vary, so it cannot vary with anything
        y, classes = self.found.y, self.found.classes
        scores = np.zeros((len(y), len(classes) or 1))
        for number in np.unique(self.fold):
            train = y[self.fold != number]
            scores[self.fold == number] = (
                [np.sum(train == c) for c in classes] if classes else train.mean()
            )
        held = HeldOut(y=y, scores=scores, fold=self.fold, classes=classes)
        return float(held.measure(self.metric)[0])

    def _interval(self, held: HeldOut) -> Interval | NoInterval:
        """Return the interval over groups of the held-out score."""
        if self.metric == "accuracy":
            right = (held.predicted == held.y).astype(np.float64)
            return mean_interval(right, self.found.groups, bounds=RANGES["accuracy"])
        values = [held.measure(self.metric, weights) for weights in self._weights()]
        return resampled(
            float(held.measure(self.metric)[0]),
            np.concatenate(values) if values else np.zeros(0),
            self._n_independent,
            bounds=RANGES[self.metric],
        )

    def _weights(self) -> Iterator[Float[np.ndarray, "draw n"]]:
        """Yield how often each example is drawn, the same for every site."""
        if self._drawn is not None:
            yield self._drawn
            return
        draw = self.context.stream("readout bootstrap")
        _, group = np.unique(self.found.groups, return_inverse=True)
        at_once = max(1, _WEIGHTS_AT_ONCE // len(group))
        for left in range(self.context.resamples, 0, -at_once):
            weights = bootstrap_weights(
                self.found.n_groups, resamples=min(at_once, left), generator=draw
            )
            found = weights[:, group].astype(np.float64)
            if left == self.context.resamples <= at_once:
                self._drawn = found
            yield found

    @property
    def _n_independent(self) -> int:
        """The groups that the score rests on: those of the rarest class, or all."""
        y, groups = self.found.y, self.found.groups
        if not self.found.classes:
            return self.found.n_groups
        return min(len(np.unique(groups[y == name])) for name in self.found.classes)


def _in_order(
    scores: Float[np.ndarray, "n found"], readout: Readout, classes: Sequence[str]
) -> Float[np.ndarray, "n n_class"]:
    """Return one column per class; a class the readout does not know is never its answer."""
    if not classes or tuple(readout.classes) == tuple(classes):
        return scores
    lowest = scores.min(axis=1) - 1
    where: dict[str, int] = {name: i for i, name in enumerate(readout.classes)}
    return np.stack([scores[:, where[c]] if c in where else lowest for c in classes], axis=1)
