"""The null control: what isotropic Gaussian vectors of the same number and width would give."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.geometry.control import Null
from probes.geometry.neighbours import TwoNN, two_nn
from probes.geometry.partition import gaussian_log_partition
from probes.geometry.spectrum import (
    SPECTRAL,
    spectral_metrics,
    wishart_spectra,
)

CONTROL_NAME = "isotropic Gaussian, same number of tokens and width"
_FLOPS, _CUBES, _CELLS = 1e10, 1e9, 3e6


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianNull:
    """Isotropic data of n tokens and width d, of which m were sampled.

    Spectral controls are averages over exact draws of the spectrum, partition and two-NN
    controls over draws of m vectors; large data has fewer draws, which vary less.
    """

    n: int
    d_model: int
    spectra: Float[np.ndarray, "draw d_model"]
    along: tuple[Float[np.ndarray, "m d_model"], ...]
    neighbours: tuple[TwoNN, ...]

    @classmethod
    def draw(
        cls, n: int, d_model: int, m: int, *, generator: np.random.Generator
    ) -> "GaussianNull":
        """Draw the control once; every layer shares it."""
        n_neighbours = int(np.clip(_FLOPS / (2.0 * m * m * (d_model + 64)), 4, 40))
        n_along = int(np.clip(min(_CUBES / d_model**3, _CELLS / (m * d_model)), 2, 20))
        n_spectra = int(np.clip(20_000 / d_model, 20, 400))
        along, neighbours = [], []
        for i in range(max(n_neighbours, n_along)):
            x = generator.standard_normal((m, d_model))
            if i < n_along:
                moment = x.T @ x + _wishart(n - m, d_model, generator)
                along.append(x @ np.linalg.eigh(moment)[1])
            if i < n_neighbours:
                neighbours.append(two_nn(x, np.zeros(m, dtype=np.int64)))
        return cls(
            n=n,
            d_model=d_model,
            spectra=wishart_spectra(
                d_model, n, draws=n_spectra if n > 2 else 0, generator=generator
            ),
            along=tuple(along),
            neighbours=tuple(neighbours),
        )

    @property
    def shares(self) -> Float[np.ndarray, " d_model"]:
        """The mean share of each eigenvalue; zero where there are too few tokens."""
        if not len(self.spectra):
            return np.zeros(self.d_model)
        return np.asarray((self.spectra / self.spectra.sum(axis=1, keepdims=True)).mean(axis=0))

    def spectral(self, variance: float, *, zeta: float, one: float = 1.0) -> dict[str, Null | None]:
        """Return the spectral controls; `variance` per dimension matters for IsoScore* only.

        `one` is the identity of IsoScore* in the units of `variance`.
        """
        at = variance or 1.0
        drawn = [spectral_metrics(row * at, self.n, zeta=zeta, one=one) for row in self.spectra]
        return {name: Null.over([row[name] for row in drawn]) for name in SPECTRAL}

    @cached_property
    def two_nn(self) -> dict[str, Null | None]:
        """The controls of both two-NN dimensions."""
        return {
            "likelihood": Null.over([one.likelihood for one in self.neighbours]),
            "slope": Null.over([one.slope for one in self.neighbours]),
        }

    def log_partition(self, sigma: float) -> Null | None:
        """Return ln(min Z/max Z) when each coordinate has that standard deviation."""
        return Null.over([gaussian_log_partition(one, sigma) for one in self.along])

    @cached_property
    def log_partition_scaled(self) -> Null | None:
        """The same at unit mean length."""
        lengths = [float(np.linalg.norm(one, axis=1).mean()) for one in self.along]
        return Null.over(
            [gaussian_log_partition(x, 1 / n) for x, n in zip(self.along, lengths, strict=True)]
        )


def _wishart(n: int, d_model: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw XᵀX of n standard Gaussian vectors, by Bartlett's decomposition when n is large."""
    if n < d_model:
        x = generator.standard_normal((max(n, 0), d_model))
        return x.T @ x
    factor = np.tril(generator.standard_normal((d_model, d_model)), -1)
    np.fill_diagonal(factor, np.sqrt(generator.chisquare(n - np.arange(d_model))))
    moment: NDArray[np.float64] = factor @ factor.T
    return moment
