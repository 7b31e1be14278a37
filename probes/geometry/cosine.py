"""Cosine metrics from per-text sums, and their values without each block of texts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
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
_BY_TEXT = ("su_collier_per_text", "intra_sentence_similarity")


@dataclass(frozen=True, kw_only=True, eq=False)
class CosineValues:
    """Each metric's value, and its value without each block (empty when there is one block).

    `sizes` hold what a block counts for: tokens, or texts where texts are averaged.
    """

    values: dict[str, Value]
    left_out: dict[str, NDArray[np.float64]]
    sizes: dict[str, NDArray[np.float64]]


def contributions(texts: TextSums, site: int) -> Float[np.ndarray, " d_model"]:
    """Return what each dimension adds to the mean cosine; the sum is exactly the mean cosine.

    CC_k = ((Σu_k)² − Σu_k²)/(N(N − 1)), over the N tokens whose vector is not zero.

    Source: Timkey & van Schijndel 2021, restricted to pairs of different tokens.
    """
    n = float(texts.squared[site].sum())
    total = texts.direction[site].sum(axis=0)
    parts: NDArray[np.float64] = (total**2 - texts.coordinate[site]) / max(n * (n - 1), 1.0)
    return parts


def cosine_metrics(texts: TextSums, site: int) -> CosineValues:
    """Return the cosine metrics of one layer; `texts` must be closed.

    Zero vectors have no direction: they are in no pair. Blocks are left out in turn and never
    drawn twice, so no token is ever paired with a copy of itself.
    """
    blocks = np.flatnonzero(texts.tokens)
    if texts.squared[site].sum() < 1.5:
        reason = "one token has no pairs" if texts.n_tokens < 2 else "all vectors but one are zero"
        if texts.n_tokens > 1 and not texts.squared[site].any():
            reason = "all vectors are zero"
        return CosineValues(values=dict.fromkeys(COSINE, Undefined(reason)), left_out={}, sizes={})
    values = {
        name: float(v[0])
        for name, v in _kept(texts, site, blocks, np.ones((1, len(blocks)))).items()
    }
    undefined = _undefined(texts, site)
    several = len(blocks) > 1
    left_out = _kept(texts, site, blocks, 1 - np.eye(len(blocks))) if several else {}
    if several and int(texts.texts.sum()) == 1:
        for name in ("su_collier_pooled", "su_collier_per_text"):
            left_out[name] = 1 - left_out["mean_cosine"]
        left_out.pop("intra_sentence_similarity")
    by_text = _BY_TEXT if int(texts.texts.sum()) > 1 else ()
    sizes = {name: (texts.texts if name in by_text else texts.tokens)[blocks] for name in left_out}
    return CosineValues(values=values | undefined, left_out=left_out, sizes=sizes)


def _undefined(texts: TextSums, site: int) -> dict[str, Undefined]:
    found = {}
    if not texts.pairs[site].any():
        reason = Undefined("no text has two tokens")
        found = dict.fromkeys(("su_collier_pooled", "su_collier_per_text"), reason)
    if not texts.directed_texts[site].any():
        found["intra_sentence_similarity"] = Undefined("the mean vector of every text is zero")
    if contributions(texts, site).sum() <= 3 * isotropic_spread(texts, site):
        found["rogue_share"] = Undefined("the mean cosine is not above that of isotropic data")
    return found


def isotropic_spread(texts: TextSums, site: int) -> float:
    """Return the standard deviation of the mean cosine of isotropic data."""
    n = float(texts.squared[site].sum())
    return float(np.sqrt(2 / (n * (n - 1) * texts.coordinate.shape[1])))


def pooled_spread(texts: TextSums, site: int) -> float:
    """Return the standard deviation of the pooled cosine within texts of isotropic data."""
    pairs = float(texts.pairs[site].sum())
    return float(np.sqrt(2 / (max(pairs, 1.0) * texts.coordinate.shape[1])))


def _kept(
    texts: TextSums,
    site: int,
    blocks: NDArray[np.intp],
    w: Float[np.ndarray, "choice block"],
) -> dict[str, NDArray[np.float64]]:
    """Return the metrics of several choices of blocks, each 0 or 1."""
    direction, n = texts.direction[site, blocks], texts.squared[site, blocks]
    kept = w @ n
    pairs = kept**2 - kept
    top = np.argsort(-contributions(texts, site))[:TOP]
    rogue = texts.coordinate[site, top].sum() / max(texts.coordinate[site].sum(), 1e-300)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = _pair_sum(w, direction, n) / pairs
        return {
            "mean_cosine": mean,
            "su_collier_pooled": 1
            - (w @ texts.within[site, blocks]) / (w @ texts.pairs[site, blocks]),
            "su_collier_per_text": (w @ texts.separate[site, blocks])
            / (w @ texts.paired_texts[site, blocks]),
            "intra_sentence_similarity": (w @ texts.sentence[site, blocks])
            / (w @ texts.directed_texts[site, blocks]),
            "rogue_share": _pair_sum(w, direction[:, top], n * rogue) / pairs / mean,
        }


def _pair_sum(
    w: Float[np.ndarray, "choice block"],
    direction: Float[np.ndarray, "block d_model"],
    squared: Float[np.ndarray, " block"],
) -> Float[np.ndarray, " choice"]:
    """Return Σ cos over ordered pairs of different tokens in the chosen blocks."""
    total: NDArray[np.float64] = ((w @ direction) ** 2).sum(axis=1) - w @ squared
    return total
