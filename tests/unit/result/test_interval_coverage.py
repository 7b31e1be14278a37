"""How often intervals hold the truth, by method, number of units and kind of data.

`pytest tests/unit/result/test_interval_coverage.py -m slow -s` prints the table.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from workbench.result.intervals import (
    Interval,
    NoInterval,
    bootstrap,
    jackknife_interval,
    mean_interval,
    proportion_interval,
)

pytestmark = pytest.mark.slow

SIZES, DATA_SETS, LEAST = (3, 5, 10, 40), 600, 0.93
Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
Found = Interval | NoInterval | None

PLANTED: dict[str, tuple[Draw, float]] = {
    "normal": (lambda g, n: g.normal(size=n), 0.0),
    "exponential": (lambda g, n: g.exponential(size=n), 1.0),
    "lognormal .75": (lambda g, n: g.lognormal(0, 0.75, n), float(np.exp(0.75**2 / 2))),
    "Bernoulli .1": (lambda g, n: (g.random(n) < 0.1).astype(float), 0.1),
    "Bernoulli .5": (lambda g, n: (g.random(n) < 0.5).astype(float), 0.5),
    "−1, 0, 1": (lambda g, n: g.choice([-1.0, 0.0, 1.0], size=n, p=[0.1, 0.6, 0.3]), 0.2),
}


def _jackknife(x: NDArray[np.float64], _: np.random.Generator) -> Found:
    return jackknife_interval(
        float(x.mean()), np.array([np.delete(x, i).mean() for i in range(len(x))])
    )


def _bootstrap(x: NDArray[np.float64], generator: np.random.Generator) -> Found:
    return bootstrap(lambda rows: float(x[rows].mean()), len(x), generator=generator, resamples=200)


def _grouped(x: NDArray[np.float64], generator: np.random.Generator) -> Found:
    sizes = generator.integers(1, 4, size=len(x))
    return mean_interval(np.repeat(x, sizes), np.repeat(np.arange(len(x)), sizes).tolist())


def _bounded(x: NDArray[np.float64], _: np.random.Generator) -> Found:
    return mean_interval(x, bounds=(-1.0, 1.0) if x.min() < 0 else (0.0, 1.0))


METHODS: dict[str, tuple[Callable[..., Found], tuple[str, ...]]] = {
    "mean": (lambda x, _: mean_interval(x), tuple(PLANTED)),
    "grouped mean": (_grouped, tuple(PLANTED)),
    "jackknife": (_jackknife, tuple(PLANTED)),
    "bootstrap": (_bootstrap, tuple(PLANTED)),
    "mean with bounds": (_bounded, ("Bernoulli .1", "Bernoulli .5")),
    "paired difference": (
        lambda x, _: mean_interval(x, bounds=(-1.0, 1.0)),
        ("−1, 0, 1",),
    ),
    "proportion": (
        lambda x, _: proportion_interval(int(x.sum()), len(x)),
        ("Bernoulli .1", "Bernoulli .5"),
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_intervals_hold_the_truth(method: str) -> None:
    make, kinds = METHODS[method]
    low = {}
    for kind in kinds:
        draw, truth = PLANTED[kind]
        cells = []
        for n in SIZES:
            generator = np.random.default_rng([n, *method.encode(), *kind.encode()])
            found = [make(draw(generator, n), generator) for _ in range(DATA_SETS)]
            given = [one for one in found if one]
            share = np.mean([one.low <= truth <= one.high for one in given])
            cells.append(f"{share:.3f} ({len(given) / DATA_SETS:.0%})")
            if share < LEAST:
                low[kind, n] = share
        print(f"| {method} | {kind} | {' | '.join(cells)} |")
    assert not low
