"""How well scores of choices match the right ones, with intervals over groups of questions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from workbench.methods.scores import Values, Weights, concordance
from workbench.result.estimate import Estimate
from workbench.result.resampling import bootstrap_weights, resampled

UNITS = {
    "accuracy": "proportion",
    "balanced_accuracy": "proportion",
    "f1": "F1 of the first choice",
    "mcc": "Matthews r",
    "auroc": "probability",
    "brier": "squared probability",
    "ece": "probability",
}
_BOUNDS = {"mcc": (-1.0, 1.0), "brier": (0.0, 2.0)}
_TWO = ("f1", "mcc", "auroc")
_BINS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Scores of every choice (−∞ where a question has fewer), the right one, and the group."""

    scores: Float[np.ndarray, "n choice"]
    gold: Int[np.ndarray, " n"]
    groups: Sequence[str]

    @property
    def chosen(self) -> Int[np.ndarray, " n"]:
        """The choice of the highest score, the first of several."""
        return np.asarray(self.scores.argmax(axis=1))

    @property
    def p(self) -> Float[np.ndarray, "n choice"]:
        """Probabilities over the choices."""
        found = np.exp(self.scores - self.scores.max(axis=1, keepdims=True))
        return np.asarray(found / found.sum(axis=1, keepdims=True))

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics that apply: F1, MCC and AUROC are those of two choices."""
        return tuple(m for m in UNITS if m not in _TWO or self.scores.shape[1] == 2)

    def measure(self, metric: str, w: Weights) -> Values:
        """Return a metric under each row of weights of the questions, NaN where undefined."""
        right = (self.chosen == self.gold).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            if metric == "accuracy":
                return np.asarray(w @ right / w.sum(axis=1))
            if metric == "balanced_accuracy":
                kinds = [self.gold == c for c in np.unique(self.gold)]
                recalls = np.array([w @ (right * k) / (w @ k) for k in kinds])
                return np.asarray(np.nanmean(np.where(np.isfinite(recalls), recalls, 0.0), axis=0))
            if metric == "auroc":
                won, pairs = concordance(self.scores[:, 0] - self.scores[:, 1], self.gold == 0, w)
                return np.asarray(won / pairs)
            if metric == "brier":
                wrong = ((self.p - np.eye(self.p.shape[1])[self.gold]) ** 2).sum(axis=1)
                return np.asarray(w @ wrong / w.sum(axis=1))
            if metric == "ece":
                return self._calibration(w, right)
            return self._of_two(metric, w)

    def _of_two(self, metric: str, w: Weights) -> Values:
        said, true = self.chosen == 0, self.gold == 0
        tp, fp, fn, tn = (w @ (a & b) for a, b in
                          ((said, true), (said, ~true), (~said, true), (~said, ~true)))  # fmt: skip
        if metric == "f1":
            return np.asarray(2 * tp / (2 * tp + fp + fn))
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return np.asarray((tp * tn - fp * fn) / np.sqrt(product.astype(np.float64)))

    def _calibration(self, w: Weights, right: Float[np.ndarray, " n"]) -> Values:
        confidence = self.p.max(axis=1)
        bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
        gaps = [np.abs(w @ ((confidence - right) * (bins == b))) for b in range(_BINS)]
        return np.asarray(np.sum(gaps, axis=0) / w.sum(axis=1))

    def estimates(
        self, *, resamples: int, generator: np.random.Generator, only: Sequence[str] = ()
    ) -> dict[str, Estimate]:
        """Return every metric, or some, with the interval of a bootstrap over whole groups."""
        names, group = np.unique(np.asarray(self.groups), return_inverse=True)
        drawn = bootstrap_weights(len(names), resamples=resamples, generator=generator)[:, group]
        found = {}
        for metric in only or self.names:
            value = float(self.measure(metric, np.ones((1, len(self.gold))))[0])
            is_known = bool(np.isfinite(value))
            bounds = _BOUNDS.get(metric, (0.0, 1.0))
            draws = self.measure(metric, drawn.astype(np.float64))
            interval = resampled(value, draws, len(names), bounds=bounds) if is_known else None
            found[metric] = Estimate(
                name=metric,
                value=value if is_known else None,
                unit=UNITS[metric],
                n=len(self.gold),
                n_unit="questions",
                low=interval.low if interval else None,
                high=interval.high if interval else None,
                method=f"bootstrap over {len(names)} groups",
                note="" if is_known else "one choice or one answer is all there is",
            )
        return found
