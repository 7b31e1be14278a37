"""How often intervals of isotropy hold the truth, by metric, number of texts and kind of data.

`pytest tests/unit/probes/geometry/test_isotropy_coverage.py -m slow -s` prints the table.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from probes.geometry.metrics import metrics
from probes.geometry.reader import Reader
from probes.geometry.statistics import IsotropyStatistics, Settings
from workbench.methods.contracts import Context, Example
from workbench.model.sites import Site
from workbench.model.tiny import tiny_model
from workbench.model.tokens import Tokens
from workbench.model.trace import Trace
from workbench.result.readings import Reading

pytestmark = pytest.mark.slow

SIZES, DATA_SETS, LEAST = (3, 5, 10, 40), 400, 0.93
WIDTH, LENGTH, AT_ONCE = 4, 12, 25
MANY = 4_000
NAMES = (
    "two_nn_dimension",
    "partition_isotropy",
    "partition_isotropy_scaled",
    "self_similarity",
    "stable_rank",
)
# Of exponential values of spread 1 exp(x) has no mean, so the partition function has no truth.
NO_TRUTH = {("partition_isotropy", "exponential")}
Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]

KINDS: dict[str, Draw] = {
    "normal": lambda g, shape: g.standard_normal(shape),
    "exponential": lambda g, shape: g.exponential(size=shape) - 1,
    "Bernoulli .3": lambda g, shape: (
        ((g.random(shape) < 0.3) - 0.3) / 0.21**0.5 + 0.3 * g.standard_normal(shape)
    ),
}


def draw(kind: str, generator: np.random.Generator, n_sets: int, n: int) -> NDArray[np.float32]:
    """Return [set, text, token, d]: tokens about the mean of their text, unequal axes, a shift."""
    topic = KINDS[kind](generator, (n_sets, n, 1, WIDTH)) / 2
    own = KINDS[kind](generator, (n_sets, n, LENGTH, WIDTH))
    shift = np.array([0.6, 0.0, 0.0, 0.0])
    found: NDArray[np.float64] = (topic + own) * np.array([1.0, 0.8, 0.6, 0.5]) + shift
    return found.astype(np.float32)


def readings(x: NDArray[np.float32], name: str, reservoir: int = 2_000) -> dict[str, Reading]:
    """Measure data sets, each as a layer of its own, the way the probe does."""
    n_sets, n, length, width = x.shape
    sites = tuple(Site.parse(f"resid_post.{i}") for i in range(n_sets))
    spec = tiny_model("gpt2").spec
    context = Context(spec=spec)
    settings = Settings(
        sites=sites, exclude_first=False, reservoir=reservoir, memory_mb=256.0, seed=0
    )
    statistics = IsotropyStatistics(settings, width, torch.device("cpu"))
    ids = (torch.arange(length) % 4).expand(n, -1).contiguous()
    trace = Trace(
        spec=spec,
        tokens=Tokens(ids=ids, mask=torch.ones_like(ids, dtype=torch.bool)),
        activations={site: torch.from_numpy(one) for site, one in zip(sites, x, strict=True)},
    )
    statistics.add(trace, [Example(text=f"{name} {i}", source="", number=i) for i in range(n)])
    return dict(Reader(statistics, context, center=False, zeta=0.75, words=True).read().readings)


def truth(kind: str) -> dict[str, float]:
    """Return what very many texts give; two-NN: the dimensions of the space, which they fill."""
    generator = np.random.default_rng([7, *kind.encode()])
    found = readings(draw(kind, generator, 1, MANY), "many", reservoir=6_000)
    return {**{name: float(found[name].values()[0]) for name in NAMES}, "two_nn_dimension": WIDTH}


@pytest.mark.parametrize("kind", KINDS)
def test_intervals_of_isotropy_hold_the_truth(kind: str) -> None:
    true, about, low = truth(kind), metrics(WIDTH), {}
    cells: dict[str, list[str]] = {name: [] for name in NAMES}
    for n in SIZES:
        generator = np.random.default_rng([n, *kind.encode()])
        held: dict[str, list[bool]] = {name: [] for name in NAMES}
        for part in range(DATA_SETS // AT_ONCE):
            found = readings(draw(kind, generator, AT_ONCE, n), f"{kind} {n} {part}")
            for name in NAMES:
                made = [found[name].interval(about[name], place) for place in range(AT_ONCE)]
                held[name] += [one.low <= true[name] <= one.high for one in made if one]
        for name, given in held.items():
            share = float(np.mean(given)) if given else float("nan")
            cells[name].append(f"{share:.3f} ({len(given) / DATA_SETS:.0%})" if given else "none")
            if share < LEAST and (name, kind) not in NO_TRUTH:
                low[name, n] = share
    for name in NAMES:
        print(f"| {name} | {kind} | {' | '.join(cells[name])} |")
    assert not low
