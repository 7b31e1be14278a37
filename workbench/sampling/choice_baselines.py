"""What can be had of choice questions without reasoning: baselines fitted on other groups."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from workbench.methods.contracts import Context
from workbench.result.estimate import Estimate
from workbench.sampling.choice_metrics import Predictions
from workbench.sampling.items import Item

BASELINES = {
    "constant": "the commonest answer of other groups",
    "length": "the length of the question",
    "template": "the wording without names and numbers",
    "words": "a bag of words and pairs of words",
}
_FOLDS = 5


def baseline_scores(
    name: str, items: Sequence[Item], *, generator: np.random.Generator
) -> Float[np.ndarray, "n choice"]:
    """Return log-probabilities of the choices that a baseline gives each question.

    It is fitted on the questions of other groups only, in five folds of groups.
    """
    groups, mine = np.unique([item.group or item.id for item in items], return_inverse=True)
    fold = (generator.permutation(len(groups)) % min(_FOLDS, len(groups)))[mine]
    gold = np.array([item.gold for item in items])
    n_choices = max(len(item.choices) for item in items)
    p = np.full((len(items), n_choices), 1 / n_choices)
    for number in np.unique(fold):
        held, rest = fold == number, fold != number
        if rest.any():
            p[held] = _FITS[name](items, gold, rest, n_choices)[held]
    for row, item in zip(p, items, strict=True):
        row[len(item.choices) :] = 0.0
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p / p.sum(axis=1, keepdims=True)))


def beside_baselines(
    scores: Mapping[str, Float[np.ndarray, "n choice"]], items: Sequence[Item], context: Context
) -> dict[str, Predictions]:
    """Return what was scored, and after it every baseline, by name."""
    gold, groups = np.array([i.gold for i in items]), [i.group or i.id for i in items]
    found = dict(scores)
    for name in BASELINES:
        found[name] = baseline_scores(name, items, generator=context.stream(f"baseline {name}"))
    return {name: Predictions(scores=x, gold=gold, groups=groups) for name, x in found.items()}


def estimates_by_name(
    known: Mapping[str, Predictions], context: Context
) -> dict[str, dict[str, Estimate]]:
    """Return every metric of each, all with the same resampled groups."""
    return {
        name: one.estimates(resamples=context.resamples, generator=context.stream("groups"))
        for name, one in known.items()
    }


Known = Int[np.ndarray, " n"]
Mask = NDArray[np.bool_]


def _shares(gold: NDArray[np.int_], n_choices: int) -> Float[np.ndarray, " choice"]:
    counts = np.bincount(gold, minlength=n_choices) + 0.5
    return np.asarray(counts / counts.sum())


def _constant(items: Sequence[Item], gold: Known, rest: Mask, k: int) -> Float[np.ndarray, "n c"]:
    return np.tile(_shares(gold[rest], k), (len(items), 1))


def _template(items: Sequence[Item], gold: Known, rest: Mask, k: int) -> Float[np.ndarray, "n c"]:
    names = np.array([item.template for item in items])
    return np.array([_shares(gold[rest & (names == name)], k) for name in names])


def _length(items: Sequence[Item], gold: Known, rest: Mask, k: int) -> Float[np.ndarray, "n c"]:
    x = np.array([[len(i.prompt), i.prompt.count("."), len(i.prompt.split())] for i in items])
    x = np.log1p(x.astype(np.float64))
    spread = x[rest].std(axis=0)
    return _logistic((x - x[rest].mean(axis=0)) / np.where(spread > 0, spread, 1), gold, rest, k)


def _words(items: Sequence[Item], gold: Known, rest: Mask, k: int) -> Float[np.ndarray, "n c"]:
    texts = [item.prompt for item in items]
    counter = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", min_df=2, binary=True)
    try:
        counter.fit([text for text, r in zip(texts, rest, strict=True) if r])
    except ValueError:  # no word stands in two of them
        return _constant(items, gold, rest, k)
    return _logistic(counter.transform(texts), gold, rest, k)


def _logistic(x: object, gold: Known, rest: Mask, k: int) -> Float[np.ndarray, "n c"]:
    if len(np.unique(gold[rest])) < 2:
        return np.tile(_shares(gold[rest], k), (len(gold), 1))
    fitted = LogisticRegression(C=0.1, max_iter=2000).fit(x[rest], gold[rest])  # type: ignore[index]
    p = np.zeros((len(gold), k))
    p[:, fitted.classes_] = fitted.predict_proba(x)
    return p


_FITS: dict[str, Callable[..., Float[np.ndarray, "n c"]]] = {
    "constant": _constant,
    "length": _length,
    "template": _template,
    "words": _words,
}
