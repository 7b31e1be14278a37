"""One unit's numbers averaged over fewer and fewer of its axes."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from workbench.result.metric import Axes, Metric

VALUE = ""  # the kind of what is measured; every other kind is a control

Cells = tuple[str, str, Axes]  # kind, metric, axes


def mean_of_defined(x: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Average what is finite along axes; NaN where nothing is."""
    there = np.isfinite(x)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(there, x, 0.0).sum(axis=axis) / there.sum(axis=axis))


def levels_of(
    values: Mapping[str, Mapping[str, NDArray[np.float64]]], metrics: Mapping[str, Metric]
) -> Iterator[tuple[Cells, NDArray[np.float64]]]:
    """Yield every metric of every kind, averaged within each unit down to every set of axes."""
    for kind, found in values.items():
        for name, x in found.items():
            about = metrics[name]
            if about.of is not None:
                yield (kind, name, about.unit_axes), x
                continue
            for axes in about.levels:
                if axes:
                    yield (kind, name, axes), _over_the_rest(x, len(axes))
                elif about.headline is not None or not about.unit_axes:
                    yield (kind, name, ()), _over_the_rest(_headline(x, about), 0)


def _headline(x: NDArray[np.float64], about: Metric) -> NDArray[np.float64]:
    if not about.unit_axes or about.headline is None:
        return x
    part = x[:, slice(*about.headline)]
    return part if part.shape[1] else x


def _over_the_rest(x: NDArray[np.float64], n_axes: int) -> NDArray[np.float64]:
    rest = tuple(range(1 + n_axes, x.ndim))
    return mean_of_defined(x, rest) if rest else x
