"""Metrics of the covariance spectrum, raw and corrected for the number of tokens."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import eigvalsh_tridiagonal
from torch import Tensor

SPECTRAL = (
    "participation_ratio",
    "participation_ratio_corrected",
    "isoscore",
    "isoscore_corrected",
    "isoscore_star",
    "effective_rank",
    "effective_rank_eigenvalues",
    "stable_rank",
)
_RELATIVE_ZERO = 4 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Undefined:
    """A quantity that does not exist on this data, and why."""

    reason: str


Value = float | Undefined


def eigenvalues(covariance: Float[Tensor, "d_model d_model"]) -> NDArray[np.float64]:
    """Return the spectrum, largest first; what rounding alone can produce is set to zero."""
    spectrum: NDArray[np.float64] = torch.linalg.eigvalsh(covariance).flip(0).cpu().numpy()
    floor = spectrum[0] * len(spectrum) * _RELATIVE_ZERO
    return np.where(spectrum > max(floor, 0.0), spectrum, 0.0)


def spectral_metrics(
    spectrum: Float[np.ndarray, " d_model"], n: int, *, zeta: float, one: float = 1.0
) -> dict[str, Value]:
    """Return every metric of the spectrum of S (denominator n − 1).

    participation ratio (tr S)²/‖S‖²; IsoScore (PR − 1)/(d − 1), which equals the published
    seven-step recipe; IsoScore* that of (1 − ζ)S + ζI; effective rank exp(entropy) of the
    normalised singular values of the centred data, or of the eigenvalues; stable rank tr S/λ₁.
    `one` is what the identity of IsoScore* is in the units of the spectrum.
    """
    if n < 2:
        return dict.fromkeys(SPECTRAL, Undefined("one token has no covariance"))
    if not spectrum.any():
        return dict.fromkeys(SPECTRAL, Undefined("all tokens have the same vector"))
    ratio = _participation(spectrum)
    corrected = corrected_participation(spectrum, n)
    shrunk = (1 - zeta) * spectrum + zeta * one
    d = len(spectrum)
    return {
        "participation_ratio": ratio,
        "participation_ratio_corrected": corrected,
        "isoscore": isoscore(ratio, d),
        "isoscore_corrected": isoscore(corrected, d),
        "isoscore_star": isoscore(_participation(shrunk), d),
        "effective_rank": _entropy_rank(np.sqrt(spectrum)),
        "effective_rank_eigenvalues": _entropy_rank(spectrum),
        "stable_rank": float(spectrum.sum() / spectrum[0]),
    }


def isoscore(ratio: Value, d_model: int) -> Value:
    """Return (PR − 1)/(d − 1), the share of dimensions used."""
    if isinstance(ratio, Undefined):
        return ratio
    if d_model == 1:
        return Undefined("IsoScore needs at least two dimensions")
    return (ratio - 1) / (d_model - 1)


def corrected_participation(spectrum: Float[np.ndarray, " d_model"], n: int) -> Value:
    """Return the participation ratio from unbiased estimates of (tr Σ)² and tr Σ².

    Unbiased for independent Gaussian vectors; tokens are neither, so the raw value stands
    beside it. May exceed d by sampling noise.
    """
    nu = n - 1
    if nu < 2:
        return Undefined("the correction needs at least three tokens")
    trace = float(spectrum.sum())
    square = nu**2 / ((nu - 1) * (nu + 2)) * (float((spectrum**2).sum()) - trace**2 / nu)
    if square <= 0:
        return Undefined("too few tokens: the unbiased estimate of tr Σ² is not positive")
    return (trace**2 - 2 * square / nu) / square


def expected_participation(d_model: int, n: int) -> float:
    """Return about what isotropic Gaussian data gives: dν/(ν + d + 1), ν = n − 1.

    The ratio of the means of (tr S)² and ‖S‖²; the mean of the ratio is higher for few tokens.
    """
    nu = n - 1
    return d_model * nu / (nu + d_model + 1)


def wishart_spectra(
    d_model: int, n: int, *, draws: int, generator: np.random.Generator
) -> Float[np.ndarray, "draw d_model"]:
    """Draw spectra of the covariance of n standard Gaussian vectors without drawing them.

    Source: the bidiagonal model of Dumitriu & Edelman 2002 (β = 1), exact for every n and d.
    """
    nu = n - 1
    small, large = min(d_model, nu), max(d_model, nu)
    spectra = np.zeros((draws, d_model))
    for row in spectra:
        diagonal = np.sqrt(generator.chisquare(large - np.arange(small)))
        below = np.sqrt(generator.chisquare(small - 1 - np.arange(small - 1)))
        main = diagonal**2 + np.append(0, below) ** 2
        row[:small] = eigvalsh_tridiagonal(main, diagonal[:-1] * below)[::-1] / nu
    return np.maximum(spectra, 0)


def _participation(spectrum: NDArray[np.float64]) -> float:
    scaled = spectrum / spectrum.max()
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def _entropy_rank(weights: NDArray[np.float64]) -> float:
    q = weights / weights.sum()
    q = q[q > 0]
    return math.exp(-float((q * np.log(q)).sum()))
