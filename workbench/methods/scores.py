"""How well held-out scores match the truth, under any weighting of the examples."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

CLASS_METRICS = ("accuracy", "balanced_accuracy", "auroc")
NUMBER_METRICS = ("r2", "correlation")
UNITS = {
    "accuracy": "proportion",
    "balanced_accuracy": "proportion",
    "auroc": "probability",
    "r2": "share of variance",
    "correlation": "Pearson r",
}
RANGES = {
    "accuracy": (0.0, 1.0),
    "balanced_accuracy": (0.0, 1.0),
    "auroc": (0.0, 1.0),
    "r2": None,
    "correlation": (-1.0, 1.0),
}

Weights = Float[np.ndarray, "draw n"]
Values = Float[np.ndarray, " draw"]


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Scores given to every example by a readout that never saw it.

    `scores` has one column per class in the order of `classes`, or one column of predicted
    numbers; `fold` says which readout gave them.
    """

    y: NDArray[np.generic]
    scores: Float[np.ndarray, "n n_class"]
    fold: Int[np.ndarray, " n"]
    classes: tuple[str, ...]

    @property
    def predicted(self) -> NDArray[np.generic]:
        """The class of the highest score, or the predicted number."""
        if not self.classes:
            numbers: NDArray[np.generic] = self.scores[:, 0]
            return numbers
        names: NDArray[np.generic] = np.array(self.classes)[self.scores.argmax(axis=1)]
        return names

    def measure(self, metric: str, weights: Weights | None = None) -> Values:
        """Return the metric under each row of example weights (default: all one).

        `accuracy`: share of right classes. `balanced_accuracy`: mean recall over classes.
        `auroc`: chance that an example of a class scores above one outside it, over pairs of
        the same fold (scores of different readouts are not comparable), mean over classes.
        `r2`: 1 − residual/total sum of squares. `correlation`: Pearson, 0 where undefined.
        """
        w = np.ones((1, len(self.y))) if weights is None else weights.astype(np.float64)
        return {
            "accuracy": self._accuracy,
            "balanced_accuracy": self._balanced,
            "auroc": self._auroc,
            "r2": self._r2,
            "correlation": self._correlation,
        }[metric](w)

    def _accuracy(self, w: Weights) -> Values:
        right = (self.predicted == self.y).astype(np.float64)
        return np.asarray(w @ right / w.sum(axis=1))

    def _balanced(self, w: Weights) -> Values:
        right = self.predicted == self.y
        with np.errstate(invalid="ignore"):
            recalls = np.array(
                [w @ (right & (self.y == c)) / (w @ (self.y == c)) for c in self.classes]
            )
        return _mean_of_defined(recalls)

    def _auroc(self, w: Weights) -> Values:
        return _mean_of_defined(
            np.array([self._auroc_of(column, w) for column in range(len(self.classes))])
        )

    def _auroc_of(self, column: int, w: Weights) -> Values:
        inside = self.y == self.classes[column]
        value = _against_rest(self.scores, column)
        won = np.zeros(len(w))
        pairs = np.zeros(len(w))
        for number in np.unique(self.fold):
            rows = np.flatnonzero(self.fold == number)
            a, b = concordance(value[rows], inside[rows], w[:, rows])
            won += a
            pairs += b
        with np.errstate(invalid="ignore"):
            return won / pairs

    def _r2(self, w: Weights) -> Values:
        y = self.y.astype(np.float64)
        wrong = w @ (y - self.scores[:, 0]) ** 2
        y = y - y.mean()  # keeps the difference below exact when the numbers are large
        spread = w @ y**2 - (w @ y) ** 2 / w.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, 1 - wrong / spread, np.nan)

    def _correlation(self, w: Weights) -> Values:
        y, z = _standardised(self.y.astype(np.float64)), _standardised(self.scores[:, 0])
        total = w.sum(axis=1)
        my, mz = w @ y / total, w @ z / total
        cov = w @ (y * z) / total - my * mz
        spread = (w @ y**2 / total - my**2) * (w @ z**2 / total - mz**2)
        return np.where(spread > 1e-20, cov / np.sqrt(np.maximum(spread, 1e-20)), 0.0)


def concordance(
    value: Float[np.ndarray, " n"], inside: NDArray[np.bool_], w: Weights
) -> tuple[Values, Values]:
    """Return the weight of (inside, outside) pairs in the right order, and of all such pairs.

    A tie counts half.
    """
    order = np.argsort(value, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(value[order]) != 0])
    positive = np.add.reduceat(w[:, order] * inside[order], starts, axis=1)
    negative = np.add.reduceat(w[:, order] * ~inside[order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    won = (positive * (below + negative / 2)).sum(axis=1)
    return won, positive.sum(axis=1) * negative.sum(axis=1)


def _against_rest(scores: Float[np.ndarray, "n n_class"], column: int) -> Float[np.ndarray, " n"]:
    """Return how far a class's score lies above the best of the others."""
    others = np.delete(scores, column, axis=1).max(axis=1)
    return np.asarray(scores[:, column] - others)


def _mean_of_defined(values: Float[np.ndarray, "n_class draw"]) -> Values:
    defined = np.isfinite(values)
    total = np.where(defined, values, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / defined.sum(axis=0))


def _standardised(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    spread = float(x.std())
    if spread <= 1e-12 * float(np.abs(x).max(initial=0)):
        return np.zeros_like(x)
    return np.asarray((x - x.mean()) / spread)
