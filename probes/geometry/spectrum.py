"""Metrics of the covariance spectrum, raw and corrected for the number of tokens."""

from collections.abc import Mapping

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
Spectra = Float[np.ndarray, "*batch d_model"]
Values = Float[np.ndarray, "*batch"]


def eigenvalues(covariance: Float[Tensor, "*batch d_model d_model"]) -> Spectra:
    """Return spectra, largest first; what rounding alone can produce is set to zero."""
    spectra = torch.linalg.eigvalsh(covariance).flip(-1).cpu().numpy()
    floor = spectra[..., :1] * spectra.shape[-1] * _RELATIVE_ZERO
    found: NDArray[np.float64] = np.where(spectra > np.maximum(floor, 0.0), spectra, 0.0)
    return found


def spectral_metrics(
    spectra: Spectra, n: int, *, zeta: float, one: float | Values = 1.0
) -> dict[str, Values]:
    """Return every metric of spectra of S (denominator n − 1), NaN where undefined.

    participation ratio (tr S)²/‖S‖²; IsoScore (PR − 1)/(d − 1), which equals the published
    seven-step recipe; IsoScore* that of (1 − ζ)S + ζI; effective rank exp(entropy) of the
    normalised singular values of the centred data, or of the eigenvalues; stable rank tr S/λ₁.
    `one` is what the identity of IsoScore* is in the units of each spectrum.
    """
    d = spectra.shape[-1]
    shrunk = (1 - zeta) * spectra + zeta * np.asarray(one)[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, corrected = _participation(spectra), corrected_participation(spectra, n)
        found = {
            "participation_ratio": ratio,
            "participation_ratio_corrected": corrected,
            "isoscore": isoscore(ratio, d),
            "isoscore_corrected": isoscore(corrected, d),
            "isoscore_star": isoscore(_participation(shrunk), d),
            "effective_rank": _entropy_rank(np.sqrt(spectra)),
            "effective_rank_eigenvalues": _entropy_rank(spectra),
            "stable_rank": spectra.sum(axis=-1) / spectra[..., 0],
        }
    there = spectra.any(axis=-1) & (n > 1)
    return {name: np.where(there, x, np.nan) for name, x in found.items()}


def why_undefined(spectra: Spectra, n: int, values: Mapping[str, Values]) -> dict[str, list[str]]:
    """Return for every metric and spectrum why the value is undefined, if it is."""
    corrected = "too few tokens: the unbiased estimate of tr Σ² is not positive"
    if n < 3:
        corrected = "the correction needs at least three tokens"
    reasons = {}
    for name, x in values.items():
        own = corrected if name.endswith("_corrected") else "IsoScore needs at least two dimensions"
        if name == "isoscore_corrected" and spectra.shape[-1] == 1 and n > 2:
            own = "IsoScore needs at least two dimensions"
        why = [own if some.any() else "all tokens have the same vector" for some in spectra]
        why = why if n > 1 else ["one token has no covariance"] * len(x)
        reasons[name] = [w if np.isnan(v) else "" for w, v in zip(why, x, strict=True)]
    return reasons


def isoscore(ratio: Values, d_model: int) -> Values:
    """Return (PR − 1)/(d − 1), the share of dimensions used; NaN in one dimension."""
    found: NDArray[np.float64] = (ratio - 1) / (d_model - 1 if d_model > 1 else np.nan)
    return found


def corrected_participation(spectra: Spectra, n: int) -> Values:
    """Return the participation ratio from unbiased estimates of (tr Σ)² and tr Σ².

    Unbiased for independent Gaussian vectors; tokens are neither, so the raw value stands
    beside it. May exceed d by sampling noise.
    """
    nu = n - 1
    if nu < 2:
        return np.full(spectra.shape[:-1], np.nan)
    trace = spectra.sum(axis=-1)
    square = nu**2 / ((nu - 1) * (nu + 2)) * ((spectra**2).sum(axis=-1) - trace**2 / nu)
    found: NDArray[np.float64] = (trace**2 - 2 * square / nu) / square
    return np.where(square > 0, found, np.nan)


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


def _participation(spectra: Spectra) -> Values:
    scaled = spectra / spectra.max(axis=-1, keepdims=True)
    found: NDArray[np.float64] = scaled.sum(axis=-1) ** 2 / (scaled**2).sum(axis=-1)
    return found


def _entropy_rank(weights: Spectra) -> Values:
    q = weights / weights.sum(axis=-1, keepdims=True)
    entropy = -(q * np.log(np.where(q > 0, q, 1.0))).sum(axis=-1)
    found: NDArray[np.float64] = np.exp(entropy)
    return found
