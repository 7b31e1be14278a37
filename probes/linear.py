"""Ridge and logistic readouts."""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from probes.lens.least_loss import Ridge, logistic
from probes.lens.many_labels import logistic_each
from probes.planted import PlantedExample, plant_clusters
from probes.readouts import LinearReadout
from workbench.errors import TooFewClasses, TooLittleData
from workbench.methods.registry import probe
from workbench.methods.splits import fold_problems, folds
from workbench.model.activations import Activations
from workbench.model.site_patterns import SitePattern, expand
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.options import option

_GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
# Curvature of the log-loss at even odds, against 1 for the squared error.
_LOG_LOSS = 0.25
_INNER_FOLDS = 3


@probe("linear", source="Alain & Bengio 2016, arXiv:1610.01644")
@dataclass(frozen=True, kw_only=True)
class Linear:
    """Read a class or a number off an activation with one linear map.

    Classes: multinomial (two classes: binary) logistic regression, minimising the mean
    log-loss + λ/2·‖W‖² over standardised features. Numbers: ridge regression, minimising half
    the mean squared error + λ/2·‖w‖². λ is `regularisation`; by default it is width/examples,
    the best choice for numbers when independent features carry as much signal as there is noise,
    and a quarter of that for classes. The returned weights act on unstandardised activations.

    Units: log-odds (nats) for classes; the units of the label for numbers.

    Raises:
        FitError: the solver did not converge.

    Source: Alain & Bengio 2016, section 3; theirs is trained by SGD without a penalty.
    """

    is_scale_free: ClassVar[bool] = True

    at: tuple[SitePattern, ...] = option(
        (), help="Activations to read, each on its own; default: every layer's last token."
    )
    regularisation: float | None = option(
        None, help="L2 penalty λ per example; default: from width and examples.", low=1e-8
    )
    select: bool = option(
        False, help="Choose λ by cross-validation inside the training part, from 0.01 to 100."
    )

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        return expand(self.at or ("resid_post.*[-1]",), spec)

    def fit(self, data: Activations) -> LinearReadout:
        return _fit(data, self._selected(data) if self.select else self._strength(data))

    def fit_each(
        self, data: Activations, labels: Sequence[NDArray[np.generic]]
    ) -> Sequence[LinearReadout]:
        one = data.relabel(labels[0])
        if self.select:
            return [self.fit(data.relabel(y)) for y in labels]
        if one.is_numeric:
            return _fit_numbers(data, labels, self._strength(one))
        return _fit_classes(data, labels, self._strength(one))

    def _strength(self, data: Activations) -> float:
        if self.regularisation is not None:
            return self.regularisation
        usual = data.x.shape[1] / len(data)
        return usual if data.is_numeric else _LOG_LOSS * usual

    def _selected(self, data: Activations) -> float:
        if fold_problems(data.y, data.groups, n_folds=_INNER_FOLDS):
            raise TooLittleData(
                f"{len(data)} training examples are too few to choose λ",
                hint="leave out --select, or give more labelled texts",
            )
        # The split is fixed: the choice of λ must not depend on anything but the data.
        fold = folds(data.y, data.groups, n_folds=_INNER_FOLDS, generator=np.random.default_rng(0))
        losses = [_inner_loss(data, fold, strength) for strength in _GRID]
        return _GRID[int(np.argmin(losses))]

    @staticmethod
    def example(generator: torch.Generator) -> PlantedExample:
        """Three Gaussian clouds along random directions."""
        return plant_clusters(d_model=16, n_class=3, gap=4.0, generator=generator)


def _fit(data: Activations, strength: float) -> LinearReadout:
    if data.is_numeric:
        return _fit_numbers(data, [data.y], strength)[0]
    standard = _standardised(data.x)
    classes, which = np.unique(data.y, return_inverse=True)
    if len(classes) < 2:
        raise TooFewClasses(got=data.classes, expected=2)
    rows, biases = logistic(standard.x, which, len(classes), strength)
    return standard.readout(rows, biases, data.classes)


def _fit_numbers(
    data: Activations, labels: Sequence[NDArray[np.generic]], strength: float
) -> list[LinearReadout]:
    standard = _standardised(data.x)
    y = np.stack(labels, axis=1).astype(np.float64)
    weights, biases = standard.ridge(strength).fit_each(y)
    rows = weights.T / standard.spread
    fitted = zip(_float(rows), _float(biases - rows @ standard.mean), strict=True)
    return [LinearReadout(row, bias) for row, bias in fitted]


def _fit_classes(
    data: Activations, labels: Sequence[NDArray[np.generic]], strength: float
) -> list[LinearReadout]:
    classes = np.unique(labels[0])
    if any(not np.array_equal(np.unique(y), classes) for y in labels) or len(classes) < 2:
        return [_fit(data.relabel(y), strength) for y in labels]
    standard, named = _standardised(data.x), tuple(map(str, classes))
    which = np.stack([np.searchsorted(classes, y) for y in labels])
    fitted = logistic_each(standard.x, which, len(classes), strength)
    return [
        standard.readout(rows, biases, named)
        if is_reached
        else _fit(data.relabel(y), strength)  # says what keeps it from converging
        for rows, biases, is_reached, y in zip(*fitted, labels, strict=True)
    ]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Standard:
    """Standardised vectors, and what ridge regressions on them share."""

    x: Float[np.ndarray, "n d_model"]
    mean: Float[np.ndarray, " d_model"]
    spread: Float[np.ndarray, " d_model"]
    ridges: dict[float, Ridge] = field(default_factory=dict)

    def ridge(self, strength: float) -> Ridge:
        """Return the regression of that penalty."""
        if strength not in self.ridges:
            self.ridges[strength] = Ridge(self.x, strength)
        return self.ridges[strength]

    def readout(
        self,
        rows: Float[np.ndarray, "rows d_model"],
        biases: Float[np.ndarray, " rows"],
        classes: tuple[str, ...],
    ) -> LinearReadout:
        """Return the readout of the plain vectors, with one direction for two classes."""
        rows = rows / self.spread
        biases = biases - rows @ self.mean
        if len(classes) == 2:
            return LinearReadout(_float(rows[0]), _float(biases[0]), classes)
        return LinearReadout(_float(rows), _float(biases), classes)


# The same vectors are fitted to the labels and to every shuffle of them; kept while they are.
_KNOWN: MutableMapping[Tensor, _Standard] = WeakIdKeyDictionary()


def _standardised(vectors: Float[Tensor, "n d_model"]) -> _Standard:
    if vectors not in _KNOWN:
        raw = vectors.cpu().double().numpy()
        mean, spread = raw.mean(axis=0), raw.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        _KNOWN[vectors] = _Standard(x=(raw - mean) / spread, mean=mean, spread=spread)
    return _KNOWN[vectors]


def _float(values: Float[np.ndarray, "*shape"] | float) -> Float[Tensor, "*shape"]:
    return torch.as_tensor(np.asarray(values)).float()


def _inner_loss(data: Activations, fold: NDArray[np.int64], strength: float) -> float:
    losses: list[float] = []
    for number in np.unique(fold):
        readout = _fit(data.take(np.flatnonzero(fold != number)), strength)
        held = data.take(np.flatnonzero(fold == number))
        scores = readout.scores(held.x.cpu()).double().numpy()
        losses += _losses(scores, held.y, readout.classes)
    return float(np.mean(losses))


def _losses(
    scores: Float[np.ndarray, "n n_class"], y: NDArray[np.generic], classes: Sequence[str]
) -> list[float]:
    if not classes:
        return list((scores[:, 0] - y.astype(np.float64)) ** 2)
    true = np.array([list(classes).index(str(label)) for label in y])
    top = scores.max(axis=1)
    total = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return list(total - scores[np.arange(len(y)), true])
