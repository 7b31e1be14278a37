"""Planted capability graphs: data with a known answer."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from causal.hca.gauge import Gauge
from causal.scores.rows import DomainRows
from workbench.errors import BadOption
from workbench.options import option

Noise = Literal["laplace", "uniform", "exponential", "mixed", "gaussian"]
Heterogeneity = Literal["all", "scale", "none"]

MIXED: tuple[Noise, ...] = ("laplace", "uniform", "exponential")


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a planted graph and its data look like.

    `residual` is the standard deviation of measurement noise as a fraction of each score's own;
    `heterogeneity` says what differs between domains: effects and noise scales, scales alone, or
    nothing; `contamination` is the share of rows whose domain label is wrong.
    """

    k: int = option(3, help="Capabilities.", low=1, high=6)
    d: int = option(6, help="Benchmarks.", low=1, high=200)
    domains: int = option(4, help="Domains.", low=1, high=20)
    n: int = option(300, help="Models per domain.", low=2, high=1_000_000)
    noise: Noise = option("mixed", help="Distribution of the capabilities' own noise.")
    residual: float = option(0.05, help="Measurement noise / SD of a score.", low=0.0, high=10.0)
    heterogeneity: Heterogeneity = option("all", help="What differs between domains.")
    density: float = option(1.0, help="Share of possible edges present.", low=0.0, high=1.0)
    contamination: float = option(0.0, help="Share of mislabelled rows.", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        """Refuse more capabilities than benchmarks."""
        if self.k > self.d:
            raise BadOption(f"k = {self.k} capabilities cannot show in d = {self.d} benchmarks")


@dataclass(frozen=True, kw_only=True, eq=False)
class Planted:
    """Data and the truth behind them; capabilities are numbered in causal order."""

    rows: DomainRows
    loadings: Float[np.ndarray, "d k"]
    b: Float[np.ndarray, "domain k k"]
    mask: Float[np.ndarray, "k k"]

    @property
    def unmixing(self) -> Float[np.ndarray, "domain k d"]:
        """The true maps from scores to noises."""
        return self.b @ np.linalg.pinv(self.loadings)

    @property
    def gauge(self) -> Gauge:
        """The truth in the canonical gauge: rows orthonormal in causal order, signs as fitted."""
        return canonical(np.linalg.pinv(self.loadings), self.b)


def canonical(h: Float[np.ndarray, "k d"], b: Float[np.ndarray, "domain k k"]) -> Gauge:
    """Gram–Schmidt the rows of `h` in order and carry `b` along."""
    q, r = np.linalg.qr(h.T)
    peak = np.abs(q).argmax(axis=0)
    signs = np.sign(q[peak, np.arange(len(h))])
    lower = (r * signs[:, None]).T
    return Gauge(h=(q * signs).T, b=b @ lower, offset=np.zeros(len(h)))


def plant(design: Design, generator: np.random.Generator) -> Planted:
    """Draw a graph and its data.

    Loadings are Gaussian with unit columns; present effects are ±U(0.5, 1.5) and noise scales
    U(0.5, 2), drawn anew for each domain as the heterogeneity says.
    """
    k, count = design.k, design.domains
    loadings = generator.standard_normal((design.d, k))
    loadings /= np.linalg.norm(loadings, axis=0)
    mask = np.tril(generator.random((k, k)) < design.density, -1).astype(np.float64)
    effects = generator.uniform(0.5, 1.5, (count, k, k)) * generator.choice(
        [-1.0, 1.0], (count, k, k)
    )
    scales = generator.uniform(0.5, 2.0, (count, k))
    if design.heterogeneity != "all":
        effects[:] = effects[0]
    if design.heterogeneity == "none":
        scales[:] = scales[0]
    b = (np.eye(k) - effects * mask) / scales[..., None]
    blocks = [_block(design, loadings @ np.linalg.inv(own), generator) for own in b]
    rows = DomainRows(
        names=tuple(f"domain-{e + 1}" for e in range(count)),
        benchmarks=tuple(f"score-{j + 1}" for j in range(design.d)),
        blocks=tuple(blocks),
    )
    return Planted(rows=_contaminate(rows, design, generator), loadings=loadings, b=b, mask=mask)


def draw_noise(
    family: Noise, shape: tuple[int, int], generator: np.random.Generator
) -> Float[np.ndarray, "n k"]:
    """Draw independent noise of mean 0 and variance 1; `mixed` cycles through three families."""
    n, k = shape
    columns = [
        _noise_column(MIXED[c % 3] if family == "mixed" else family, n, generator) for c in range(k)
    ]
    return np.stack(columns, axis=1)


def _noise_column(family: Noise, n: int, generator: np.random.Generator) -> np.ndarray:
    if family == "laplace":
        return generator.laplace(0.0, 1 / np.sqrt(2.0), n)
    if family == "uniform":
        return generator.uniform(-np.sqrt(3.0), np.sqrt(3.0), n)
    if family == "exponential":
        return generator.exponential(1.0, n) - 1.0
    return generator.standard_normal(n)


def _block(design: Design, mixing: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    clean = draw_noise(design.noise, (design.n, design.k), generator) @ mixing.T
    spread = design.residual * clean.std(axis=0)
    noisy: NDArray[np.float64] = clean + spread * generator.standard_normal(clean.shape)
    return noisy


def _contaminate(rows: DomainRows, design: Design, generator: np.random.Generator) -> DomainRows:
    if not design.contamination or len(rows) < 2:
        return rows
    blocks = [block.copy() for block in rows.blocks]
    moved = [
        (e, i)
        for e, block in enumerate(blocks)
        for i in np.flatnonzero(generator.random(len(block)) < design.contamination)
    ]
    # Shifting the moved rows round keeps every domain's size.
    places = [moved[i] for i in generator.permutation(len(moved))]
    values = [rows.blocks[e][i] for e, i in moved]
    for (e, i), value in zip(places, values, strict=True):
        blocks[e][i] = value
    return rows.replace(blocks)
