"""Explainers of the effect of a concept that need no edit, and the errors of any explainer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from workbench.methods.eraser import one_hot

Effects = Float[np.ndarray, "pair n_class"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Texts with values of the concept and of controls, and what the model answers to each."""

    t: NDArray[np.generic]
    c: NDArray[np.generic]
    p: Float[np.ndarray, "n n_class"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What is explained: a source text of every pair, and the value it should have instead."""

    source: Known
    to: NDArray[np.generic]

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.to)


def errors(true: Effects, guess: Effects) -> dict[str, Float[np.ndarray, " pair"]]:
    """Return the distances of guessed effects from the true ones, pair by pair.

    `l2` is ‖true − guess‖, `cosine` 1 − cos, which is 1 where either is zero, `normdiff` the
    difference of lengths. For vectors that are not zero l2² = normdiff² + 2·‖true‖‖guess‖·cosine.

    Source: Abraham et al. 2022, CEBaB, arXiv:2205.14140, section 3; without their rounding.
    """
    a, b = np.linalg.norm(true, axis=1), np.linalg.norm(guess, axis=1)
    both = (a > 0) & (b > 0)
    cosine = np.ones(len(true))
    cosine[both] = 1 - (true * guess).sum(axis=1)[both] / (a * b)[both]
    return {
        "l2": np.linalg.norm(true - guess, axis=1),
        "cosine": cosine,
        "normdiff": np.abs(a - b),
    }


def zero(fit: Known, asked: Asked, generator: np.random.Generator) -> Effects:
    """Say that nothing has an effect."""
    return np.zeros_like(asked.source.p)


def random(fit: Known, asked: Asked, generator: np.random.Generator) -> Effects:
    """Return the difference of two random distributions."""
    one, other = (generator.dirichlet(np.ones(fit.p.shape[1]), size=len(asked)) for _ in range(2))
    return np.asarray(one - other)


def conexp(fit: Known, asked: Asked, generator: np.random.Generator) -> Effects:
    """Return E[p | T = t′] − E[p | T = t]: association, whatever else goes with the concept.

    Source: Feder et al. 2021, CausaLM, arXiv:2005.13407.
    """
    mean = {value: fit.p[fit.t == value].mean(axis=0) for value in np.unique(fit.t)}
    pairs = zip(asked.source.t, asked.to, strict=True)
    return np.stack([mean[to] - mean[now] for now, to in pairs])


def s_learner(fit: Known, asked: Asked, generator: np.random.Generator) -> Effects:
    """Fit p to concept and controls by a multinomial logistic model and change the concept in it.

    Source: Künzel et al. 2019, as a baseline in CEBaB.
    """
    from sklearn.linear_model import LogisticRegression

    n, m = fit.p.shape
    classes = [np.unique(column) for column in (fit.t, *fit.c.T)]

    def design(t: NDArray[np.generic], c: NDArray[np.generic]) -> Float[np.ndarray, "n feature"]:
        columns = zip((t, *c.T), classes, strict=True)
        return np.column_stack([one_hot(list(x), list(known)) for x, known in columns])

    x = np.repeat(design(fit.t, fit.c), m, axis=0)
    model = LogisticRegression(C=100.0, max_iter=2000)
    model.fit(x, np.tile(np.arange(m), n), sample_weight=fit.p.reshape(-1))
    now, then = (model.predict_proba(design(t, asked.source.c)) for t in (asked.source.t, asked.to))
    return np.asarray(then - now)


def nearest(
    fit: Known,
    asked: Asked,
    generator: np.random.Generator,
    *,
    k: int,
    distance: Float[np.ndarray, "pair n"] | None = None,
) -> Int[np.ndarray, "pair k"]:
    """Return the k texts with T = t′ that lie nearest to each source, ties broken at random.

    Without distances nearness is the number of controls that have the same value.
    """
    if distance is None:
        distance = (asked.source.c[:, None] != fit.c[None]).sum(axis=2).astype(np.float64)
    wrong = fit.t[None] != asked.to[:, None]
    k = min(k, int((~wrong).sum(axis=1).min()))
    tie = generator.random(distance.shape)
    order = np.lexsort((tie, np.where(wrong, np.inf, distance)), axis=1)
    return np.asarray(order[:, :k])


def matched(fit: Known, asked: Asked, where: Int[np.ndarray, "pair k"]) -> Effects:
    """Return the mean answer to the matched texts, less that to the source."""
    return np.asarray(fit.p[where].mean(axis=1) - asked.source.p)


def approx(fit: Known, asked: Asked, generator: np.random.Generator, *, k: int) -> Effects:
    """Match on the controls' values.

    Source: Gat et al. 2023, arXiv:2310.00603 (averaging over the best k).
    """
    return matched(fit, asked, nearest(fit, asked, generator, k=k))


Explainer = Callable[[Known, Asked, np.random.Generator], Effects]


def textual(k: int) -> Mapping[str, Explainer]:
    """Return the explainers that see values and answers alone, by name."""
    return {
        "zero": zero,
        "random": random,
        "conexp": conexp,
        "s-learner": s_learner,
        "approx": partial(approx, k=k),
    }
