"""Information gain of questions by simulated answers, greedy or to a depth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from workbench.sampling.processes.process import entropy_of

Asked = tuple[tuple[int, int], ...]
"""Questions and answers so far, by their numbers."""
Predict = Callable[[Sequence[tuple[Asked, int]]], list[NDArray[np.float64]]]
"""From (asked, question) pairs to the log-probabilities of the question's answers."""


@dataclass(kw_only=True, eq=False)
class Elicitor:
    """Chooses questions that tell most about the answers to the targets.

    The gain of question q is the mean over targets Y of H(Y|asked) − Σₐ p(a|asked, q)·H(Y|asked,
    q, a), in nats. Predictions are asked for in batches and kept, so that none is made twice. A
    target that is itself asked, or was, is left out of the mean.

    Source: Wang et al. 2025, arXiv:2504.04204, section 3. We differ: 0·ln 0 counts as 0.
    """

    predict: Predict
    n_questions: int
    targets: tuple[int, ...]
    _known: dict[tuple[Asked, int], NDArray[np.float64]] = field(default_factory=dict)

    def log_p(self, asked: Asked, question: int) -> Float[np.ndarray, " answer"]:
        """Return the log-probability of every answer to a question."""
        self._fetch([(asked, question)])
        return self._known[asked, question]

    def entropies(self, asked: Asked) -> Float[np.ndarray, " target"]:
        """Return the entropy of every target in nats; 0 for one that was asked."""
        done = {question for question, _ in asked}
        left = [(asked, target) for target in self.targets if target not in done]
        self._fetch(left)
        return np.array(
            [
                0.0 if target in done else float(entropy_of(self._known[asked, target]))
                for target in self.targets
            ]
        )

    def gains(self, asked: Asked, question: int) -> Float[np.ndarray, " target"]:
        """Return the gain of a question for every target, NaN for those asked and itself."""
        after = self._answered(asked, question)
        self._fetch([(then, t) for then, _ in after for t in self.targets if t != question])
        hidden = {q for q, _ in asked} | {question}
        found = self.entropies(asked)
        for then, p in after:
            found = found - p * self.entropies(then)
        found[[t in hidden for t in self.targets]] = np.nan
        return found

    def value(self, asked: Asked, question: int, depth: int) -> float:
        """Return the mean gain over targets, with the best questions that may follow.

        At depth 1 that is the gain alone; at depth d the expected gain of the best question after
        each answer, to depth d − 1, is added.
        """
        total = _mean(self.gains(asked, question))
        if depth > 1:
            for then, p in self._answered(asked, question):
                left = self.left(then)
                total += p * max((self.value(then, q, depth - 1) for q in left), default=0.0)
        return total

    def choose(self, asked: Asked, depth: int) -> tuple[int, dict[int, float]]:
        """Return the question worth most, the first where several are, and the worth of all."""
        worth = {question: self.value(asked, question, depth) for question in self.left(asked)}
        return max(worth, key=lambda q: (worth[q], -q)), worth

    def left(self, asked: Asked) -> list[int]:
        """Return the questions that were not asked and are no targets, or all where all are."""
        done = {question for question, _ in asked}
        free = [q for q in range(self.n_questions) if q not in self.targets]
        return [q for q in free or range(self.n_questions) if q not in done]

    def _answered(self, asked: Asked, question: int) -> list[tuple[Asked, float]]:
        p = np.exp(self.log_p(asked, question))
        return [((*asked, (question, a)), float(p[a])) for a in range(len(p)) if p[a] > 0]

    def _fetch(self, wanted: Sequence[tuple[Asked, int]]) -> None:
        new = [one for one in dict.fromkeys(wanted) if one not in self._known]
        if new:
            self._known.update(zip(new, self.predict(new), strict=True))


def _mean(gains: Float[np.ndarray, " target"]) -> float:
    known = gains[np.isfinite(gains)]
    return float(known.mean()) if len(known) else 0.0
