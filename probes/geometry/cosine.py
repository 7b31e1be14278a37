"""Cosine metrics from per-text sums, with a bootstrap over blocks of texts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from probes.geometry.spectrum import Undefined, Value
from probes.geometry.texts import TextSums

COSINE = (
    "mean_cosine",
    "su_collier_pooled",
    "su_collier_per_text",
    "intra_sentence_similarity",
    "rogue_share",
)
TOP = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class CosineValues:
    """Each metric's value, and its value in every resample (empty when there is one block)."""

    values: dict[str, Value]
    resampled: dict[str, NDArray[np.float64]]


def contributions(texts: TextSums, site: int) -> Float[np.ndarray, " d_model"]:
    """Return what each dimension adds to the mean cosine; the sum is exactly the mean cosine.

    CC_k = ((Σu_k)² − Σu_k²)/(N(N − 1)).

    Source: Timkey & van Schijndel 2021, restricted to pairs of different tokens.
    """
    n = texts.n_tokens
    total = texts.direction[site].sum(axis=0)
    parts: NDArray[np.float64] = (total**2 - texts.coordinate[site]) / (n * (n - 1))
    return parts


def cosine_metrics(
    texts: TextSums, site: int, weights: Int[np.ndarray, "resample block"]
) -> CosineValues:
    """Return the cosine metrics of one layer; `texts` must be closed.

    Resampled blocks are never paired with their own copies, so that the mean cosine of a
    resample is a mean over pairs of different tokens, like the estimate.
    """
    blocks = np.flatnonzero(texts.tokens)
    if texts.n_tokens < 2:
        return CosineValues(
            values=dict.fromkeys(COSINE, Undefined("one token has no pairs")), resampled={}
        )
    ones = np.ones((1, len(blocks)))
    values = {name: float(v[0]) for name, v in _weighted(texts, site, blocks, ones).items()}
    undefined = _undefined(texts, site)
    resampled = _weighted(texts, site, blocks, weights) if len(blocks) > 1 else {}
    if len(blocks) > 1 and int(texts.texts.sum()) == 1:
        for name in ("su_collier_pooled", "su_collier_per_text"):
            resampled[name] = 1 - resampled["mean_cosine"]
        resampled.pop("intra_sentence_similarity")
    return CosineValues(values=values | undefined, resampled=resampled)


def _undefined(texts: TextSums, site: int) -> dict[str, Undefined]:
    found = {}
    if not texts.pairs.any():
        reason = Undefined("no text has two tokens")
        found = dict.fromkeys(("su_collier_pooled", "su_collier_per_text"), reason)
    if contributions(texts, site).sum() <= 3 * isotropic_spread(texts):
        found["rogue_share"] = Undefined("the mean cosine is not above that of isotropic data")
    return found


def isotropic_spread(texts: TextSums) -> float:
    """Return the standard deviation of the mean cosine of isotropic data."""
    n = texts.n_tokens
    return float(np.sqrt(2 / (n * (n - 1) * texts.coordinate.shape[1])))


def _weighted(
    texts: TextSums, site: int, blocks: NDArray[np.intp], weights: NDArray[np.generic]
) -> dict[str, NDArray[np.float64]]:
    w = weights.astype(np.float64)
    direction = texts.direction[site, blocks]
    n = texts.tokens[blocks]
    pairs = (w @ n) ** 2 - w**2 @ n**2 + w @ (n**2 - n)
    squared = texts.squared[site, blocks]
    top = np.argsort(-contributions(texts, site))[:TOP]
    rogue = texts.coordinate[site, top].sum() / max(texts.coordinate[site].sum(), 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _pair_sum(w, direction, squared) / pairs
        return {
            "mean_cosine": mean,
            "su_collier_pooled": 1 - (w @ texts.within[site, blocks]) / (w @ texts.pairs[blocks]),
            "su_collier_per_text": (w @ texts.separate[site, blocks])
            / (w @ texts.paired_texts[blocks]),
            "intra_sentence_similarity": (w @ texts.sentence[site, blocks])
            / (w @ texts.texts[blocks]),
            "rogue_share": _pair_sum(w, direction[:, top], squared * rogue) / pairs / mean,
        }


def _pair_sum(
    w: Float[np.ndarray, "resample block"],
    direction: Float[np.ndarray, "block d_model"],
    squared: Float[np.ndarray, " block"],
) -> Float[np.ndarray, " resample"]:
    """Return Σ over pairs of different tokens, leaving out pairs of a block with its copies."""
    gram = direction @ direction.T
    own = np.diag(gram)
    total: NDArray[np.float64] = ((w @ gram) * w).sum(axis=1) - w**2 @ own + w @ (own - squared)
    return total
