"""The null control: what isotropic Gaussian vectors of the same number and width would give."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from probes.geometry.cosine import ISOTROPIC
from probes.geometry.neighbours import TwoNN, two_nn
from probes.geometry.partition import gaussian_log_partition
from probes.geometry.spectrum import spectral_metrics, wishart_spectra
from workbench.result.readings import Null, Scale

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
    along: Float[Tensor, "drawn m d_model"]
    neighbours: TwoNN

    @classmethod
    def draw(
        cls, n: int, d_model: int, m: int, *, generator: np.random.Generator
    ) -> "GaussianNull":
        """Draw the control once; every layer shares it."""
        n_neighbours = int(np.clip(_FLOPS / (2.0 * m * m * (d_model + 64)), 4, 40))
        n_along = int(np.clip(min(_CUBES / d_model**3, _CELLS / (m * d_model)), 2, 20))
        n_spectra = int(np.clip(20_000 / d_model, 20, 400))
        drawn, along = [], []
        for i in range(max(n_neighbours, n_along)):
            x = generator.standard_normal((m, d_model))
            if i < n_along:
                moment = x.T @ x + _wishart(n - m, d_model, generator)
                along.append(x @ np.linalg.eigh(moment)[1])
            if i < n_neighbours:
                drawn.append(x)
        spectra = wishart_spectra(d_model, n, draws=n_spectra if n > 2 else 0, generator=generator)
        together = np.zeros(m, dtype=np.int64)
        return cls(
            n=n,
            d_model=d_model,
            spectra=spectra,
            along=torch.from_numpy(np.stack(along)),
            neighbours=two_nn(torch.from_numpy(np.stack(drawn)), together),
        )

    @property
    def shares(self) -> Float[np.ndarray, " d_model"]:
        """The mean share of each eigenvalue; zero where there are too few tokens."""
        if not len(self.spectra):
            return np.zeros(self.d_model)
        return np.asarray((self.spectra / self.spectra.sum(axis=1, keepdims=True)).mean(axis=0))

    def spectral(
        self,
        variance: Float[np.ndarray, " layer"],
        *,
        zeta: float,
        one: Float[np.ndarray, " layer"],
    ) -> Mapping[str, Null]:
        """Return the spectral controls; `variance` per dimension matters for IsoScore* only.

        `one` is the identity of IsoScore* in the units of `variance`.
        """
        at = np.where(variance > 0, variance, 1.0)
        shape = len(self.spectra), len(at), self.d_model
        spectra = np.broadcast_to(self.spectra[:, None], shape)
        drawn = spectral_metrics(
            spectra, self.n, zeta=zeta, one=np.broadcast_to(one / at, shape[:2])
        )
        return {name: _over(x.T) for name, x in drawn.items()}

    def two_nn(self, n_layers: int) -> tuple[Null, Null]:
        """Return the controls of both two-NN dimensions."""
        likelihood, slope = (
            _over(np.tile(x, (n_layers, 1)))
            for x in (self.neighbours.likelihood, self.neighbours.slope)
        )
        return likelihood, slope

    def log_partition(self, sigma: Float[np.ndarray, " layer"]) -> Null:
        """Return ln(min Z/max Z) when each coordinate has that standard deviation."""
        at = torch.from_numpy(sigma)
        return _over(np.stack([gaussian_log_partition(one, at) for one in self.along], axis=1))

    def log_partition_scaled(self, n_layers: int) -> Null:
        """Return the same at unit mean length."""
        lengths = torch.linalg.vector_norm(self.along, dim=2).mean(dim=1)
        drawn = [
            gaussian_log_partition(x, 1 / n[None]) for x, n in zip(self.along, lengths, strict=True)
        ]
        return _over(np.tile(np.stack(drawn, axis=1), (n_layers, 1)))


def mapped(null: Null, function: Scale) -> Null:
    """Return a control on another scale; its spread follows the slope there."""
    if null.spread is None:
        return Null(value=function(null.value), draws=null.draws, name=null.name)
    ends = function(null.value + null.spread), function(null.value - null.spread)
    spread = np.abs(ends[0] - ends[1]) / 2
    return Null(value=function(null.value), spread=spread, draws=null.draws, name=null.name)


def _over(drawn: Float[np.ndarray, "layer draw"]) -> Null:
    """Average the draws that are defined."""
    known = drawn[:, np.isfinite(drawn).all(axis=0)]
    n = known.shape[1]
    none = np.full(len(drawn), np.nan)
    return Null(
        value=known.mean(axis=1) if n else none,
        spread=known.std(axis=1, ddof=1) if n > 1 else none,
        draws=n,
        name=ISOTROPIC,
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
