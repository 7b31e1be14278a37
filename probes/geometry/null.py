"""The null control: what isotropic Gaussian vectors of the same number and width would give."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.geometry.neighbours import TwoNN, two_nn
from probes.geometry.partition import gaussian_log_partition
from probes.geometry.spectrum import (
    SPECTRAL,
    Undefined,
    expected_participation,
    isoscore,
    spectral_metrics,
    wishart_spectra,
)

CONTROL_NAME = "isotropic Gaussian, same number of tokens and width"
_DRAWS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianNull:
    """Isotropic data of n tokens and width d, of which m were sampled.

    Spectral ranks are averages over exact draws of the spectrum; the participation ratio and
    what follows from it are closed forms; partition and two-NN come from one draw of m vectors.
    """

    n: int
    d_model: int
    ranks: dict[str, float]
    shares: Float[np.ndarray, " d_model"]
    along: Float[np.ndarray, "m d_model"]
    neighbours: TwoNN

    @classmethod
    def draw(
        cls, n: int, d_model: int, m: int, *, generator: np.random.Generator
    ) -> "GaussianNull":
        """Draw the control once; every layer shares it."""
        x = generator.standard_normal((m, d_model))
        moment = x.T @ x + _wishart(n - m, d_model, generator)
        spectra = wishart_spectra(d_model, n, draws=_DRAWS if n > 2 else 0, generator=generator)
        return cls(
            n=n,
            d_model=d_model,
            ranks=_ranks(spectra, n),
            shares=(spectra / spectra.sum(axis=1, keepdims=True)).sum(axis=0) / _DRAWS,
            along=x @ np.linalg.eigh(moment)[1],
            neighbours=two_nn(x, np.zeros(m, dtype=np.int64)),
        )

    def spectral(self, variance: float, *, zeta: float) -> dict[str, float | None]:
        """Return the spectral controls; `variance` per dimension matters for IsoScore* only."""
        if self.n < 3:
            return dict.fromkeys(SPECTRAL)
        d, nu = self.d_model, self.n - 1
        ratio = expected_participation(d, self.n)
        trace = (1 - zeta) * variance * d + zeta * d
        square = (
            (1 - zeta) ** 2 * variance**2 * d * (nu + d + 1) / nu
            + 2 * zeta * (1 - zeta) * variance * d
            + zeta**2 * d
        )
        values = {
            "participation_ratio": ratio,
            "participation_ratio_corrected": float(d),
            "isoscore": isoscore(ratio, d),
            "isoscore_corrected": isoscore(float(d), d),
            "isoscore_star": isoscore(trace**2 / square, d),
            **self.ranks,
        }
        return {k: None if isinstance(v, Undefined) else v for k, v in values.items()}

    @property
    def mean_norm(self) -> float:
        """The mean length of the drawn vectors."""
        return float(np.linalg.norm(self.along, axis=1).mean())

    def log_partition(self, sigma: float) -> float:
        """Return ln(min Z/max Z) when each coordinate has that standard deviation."""
        return gaussian_log_partition(self.along, sigma)


def _ranks(spectra: NDArray[np.float64], n: int) -> dict[str, float]:
    drawn = [spectral_metrics(row, n, zeta=0.0) for row in spectra]
    names = ("effective_rank", "effective_rank_eigenvalues", "stable_rank")
    return {
        name: float(np.mean([v for row in drawn if not isinstance(v := row[name], Undefined)]))
        for name in (names if drawn else ())
    }


def _wishart(n: int, d_model: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Draw XᵀX of n standard Gaussian vectors, by Bartlett's decomposition when n is large."""
    if n < d_model:
        x = generator.standard_normal((max(n, 0), d_model))
        return x.T @ x
    factor = np.tril(generator.standard_normal((d_model, d_model)), -1)
    np.fill_diagonal(factor, np.sqrt(generator.chisquare(n - np.arange(d_model))))
    moment: NDArray[np.float64] = factor @ factor.T
    return moment
