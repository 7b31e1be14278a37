"""Latent-class models: questions about one hidden entity, answers independent given its class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from workbench.sampling.processes.process import Exact, KeptAsPlain, normalised

Asked = Sequence[tuple[int, int]]
_NEAR = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentClass(KeptAsPlain):
    """`answer[c, q, a]` is the probability that an entity of class c answers question q by a.

    A sequence asks every question at most once, in random order, each followed by its answer;
    its symbols are the questions, then the answers.
    """

    entries: ClassVar = "questions, answers, prior [class] and answer [class, question, answer]"

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    prior: Float[np.ndarray, " class"]
    answer: Float[np.ndarray, "class question answer"]

    def problems(self) -> list[str]:
        """Return why the numbers are no probabilities."""
        shape = (len(self.prior), len(self.questions), len(self.answers))
        problems = []
        if self.answer.shape != shape:
            problems.append(f"answer has the shape {self.answer.shape}; expected {shape}")
        elif not np.allclose(self.answer.sum(axis=2), 1, atol=_NEAR):
            problems.append("the answers to a question do not add up to 1")
        if not np.isclose(self.prior.sum(), 1, atol=_NEAR):
            problems.append(f"the prior adds up to {self.prior.sum():g}")
        if self.answer.min(initial=0) < 0 or self.prior.min(initial=0) < 0:
            problems.append("a probability is negative")
        names = self.symbols
        if len(set(names)) < len(names) or any(s.split() != [s] for s in names):
            problems.append("questions and answers must differ and hold no blank")
        return problems

    @property
    def symbols(self) -> tuple[str, ...]:
        """The questions, then the answers."""
        return (*self.questions, *self.answers)

    @property
    def longest(self) -> int:
        """How many symbols a sequence has at most."""
        return 2 * len(self.questions)

    def sample(
        self, n: int, length: int, generator: np.random.Generator
    ) -> tuple[Int[np.ndarray, "batch pos"], Int[np.ndarray, "batch after"]]:
        """Draw sequences, each about one entity, whose class is the hidden state."""
        pairs = -(-min(length, self.longest) // 2)
        classes = generator.choice(len(self.prior), size=n, p=self.prior)
        asked = generator.permuted(np.tile(np.arange(len(self.questions)), (n, 1)), axis=1)
        asked = asked[:, :pairs]
        upto = np.cumsum(self.answer[classes[:, None], asked], axis=2)
        said = (generator.random((n, pairs, 1)) * upto[..., -1:] >= upto).sum(axis=2)
        both = np.stack([asked, said + len(self.questions)], axis=2).reshape(n, -1)
        ids = both[:, : min(length, self.longest)]
        return ids, np.tile(classes[:, None], (1, ids.shape[1] + 1))

    def exact(self, ids: Int[np.ndarray, "batch pos"]) -> Exact:
        """Update the belief over classes after every answer.

        Raises:
            DataError: the process cannot give one of the sequences.
        """
        n, n_questions = len(ids), len(self.questions)
        with np.errstate(divide="ignore"):
            log_answer, belief = np.log(self.answer), np.tile(np.log(self.prior), (n, 1))
        left = np.ones((n, n_questions), dtype=bool)
        rows = np.arange(n)
        beliefs, following = [belief], [self._ask(left)]
        for t in range(ids.shape[1]):
            if t % 2 == 0:
                asked = ids[:, t]
                self._check(asked < n_questions, asked, t)
                self._check(left[rows, asked], asked, t)
                left[rows, asked] = False
                told = logsumexp(belief[:, :, None] + log_answer[:, asked].swapaxes(0, 1), axis=1)
                following.append(np.hstack([np.full((n, n_questions), -np.inf), told]))
            else:
                said = ids[:, t] - n_questions
                self._check(said >= 0, ids[:, t], t)
                joint = belief + log_answer[:, ids[:, t - 1], said].T
                belief = normalised(joint, ids[:, t], t)
                following.append(self._ask(left))
            beliefs.append(belief)
        return Exact(log_beliefs=np.stack(beliefs, axis=1), log_next=np.stack(following, axis=1))

    def after(self, asked: Asked) -> Float[np.ndarray, " class"]:
        """Return the belief over classes after questions and their answers, as probabilities."""
        likelihood = np.array(self.prior)
        for question, said in asked:
            likelihood = likelihood * self.answer[:, question, said]
        return np.asarray(likelihood / likelihood.sum())

    def _ask(self, left: np.ndarray) -> Float[np.ndarray, "batch symbol"]:
        """Return the log-probability of the next question; after the last one anything may come."""
        n_left = left.sum(axis=1, keepdims=True)
        even = np.where(n_left > 0, left / np.maximum(n_left, 1), 1 / left.shape[1])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.hstack([even, np.zeros((len(left), len(self.answers)))])))

    def _check(self, fits: np.ndarray, ids: np.ndarray, position: int) -> None:
        normalised(np.where(fits, 0.0, -np.inf)[:, None], ids, position)


def random_classes(n_classes: int, n_questions: int, *, seed: int) -> LatentClass:
    """Return a model of yes/no questions whose answers by class are drawn from Beta(1/2, 1/2)."""
    draw = np.random.default_rng([seed, n_classes, n_questions])
    yes = draw.beta(0.5, 0.5, size=(n_classes, n_questions))
    return LatentClass(
        questions=tuple(f"q{i + 1}" for i in range(n_questions)),
        answers=("yes", "no"),
        prior=draw.dirichlet(np.full(n_classes, 4.0)),
        answer=np.stack([yes, 1 - yes], axis=2),
    )
