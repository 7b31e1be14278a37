"""Cosine metrics from per-text sums, and their values without each block of texts."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from probes.geometry.texts import OF_TEXTS, TextSums
from workbench.result.readings import NO_GROUPS, Null, Reading

TOP = 3
ISOTROPIC = "isotropic Gaussian, same number of tokens and width"
_BY_TEXT = ("su_collier_per_text", "intra_sentence_similarity")
_CHOSEN = "the three dimensions are chosen on the same texts"


def contributions(texts: TextSums) -> Float[np.ndarray, "layer d_model"]:
    """Return what each dimension adds to the mean cosine; the sum is exactly the mean cosine.

    CC_k = ((Σu_k)² − Σu_k²)/(N(N − 1)), over the N tokens whose vector is not zero.

    Source: Timkey & van Schijndel 2021, restricted to pairs of different tokens.
    """
    n = texts.host("squared").sum(axis=1)[:, None]
    total = texts.host("direction").sum(axis=1)
    parts: NDArray[np.float64] = (total**2 - texts.host("coordinate")) / np.maximum(
        n * (n - 1), 1.0
    )
    return parts if texts.n_tokens > 1 else np.zeros_like(parts)


def cosine_readings(texts: TextSums) -> dict[str, Reading]:
    """Return the cosine metrics of every layer; `texts` must be closed.

    Zero vectors have no direction: they are in no pair. Blocks are left out in turn and never
    drawn twice, so no token is ever paired with a copy of itself.
    """
    blocks = np.flatnonzero(texts.tokens)
    values, without = _Sums.of(texts, blocks).metrics()
    n_texts, several = int(texts.texts.sum()), len(blocks) > 1
    if n_texts == 1 and several:
        for name in ("su_collier_pooled", "su_collier_per_text"):
            without[name] = 1 - without["mean_cosine"]
        without.pop("intra_sentence_similarity")
    reasons, controls = _reasons(texts), _controls(texts)
    found = {}
    for name, value in values.items():
        by_text = name in _BY_TEXT and n_texts > 1
        found[name] = Reading(
            value=np.where([bool(why) for why in reasons[name]], np.nan, value),
            reasons=reasons[name],
            without=without.get(name) if several and name != "rogue_share" else None,
            sizes=(texts.texts if by_text else texts.tokens)[blocks],
            control=controls.get(name),
            no_interval=_CHOSEN if name == "rogue_share" else NO_GROUPS,
        )
    return found


def _reasons(texts: TextSums) -> dict[str, list[str]]:
    """Return for each metric and layer why it is undefined."""
    found: dict[str, list[str]] = {name: [] for name in _NAMES}
    rogue = contributions(texts).sum(axis=1) <= 3 * _spread(_pairs(texts), texts)
    for layer, n in enumerate(texts.host("squared").sum(axis=1)):
        every = ""
        if n < 1.5:
            every = "one token has no pairs" if texts.n_tokens < 2 else _zero(float(n))
        pairs = "" if texts.host("pairs")[layer].any() else "no text has two tokens"
        to_mean = (
            ""
            if texts.host("directed_texts")[layer].any()
            else "the mean vector of every text is zero"
        )
        flat = "the mean cosine is not above that of isotropic data" if rogue[layer] else ""
        for name, own in zip(_NAMES, ("", pairs, pairs, to_mean, flat), strict=True):
            found[name].append(every or own)
    return found


def _zero(n: float) -> str:
    return "all vectors but one are zero" if n else "all vectors are zero"


def _controls(texts: TextSums) -> dict[str, Null]:
    """Return what isotropic vectors of these texts give; exact, as is the spread if given."""
    there = texts.host("squared").sum(axis=1) >= 1.5

    def null(
        value: Float[np.ndarray, " layer"], spread: Float[np.ndarray, " layer"] | None = None
    ) -> Null:
        sd = None if spread is None else np.where(there, spread, np.nan)
        return Null(value=np.where(there, value, np.nan), spread=sd, name=ISOTROPIC)

    zero = np.zeros(len(there))
    directed = np.maximum(texts.host("directed_texts").sum(axis=1), 1.0)
    within = np.maximum(texts.host("pairs").sum(axis=1), 1.0)
    return {
        "mean_cosine": null(zero, _spread(_pairs(texts), texts)),
        "su_collier_pooled": null(zero + 1, _spread(within, texts)),
        "su_collier_per_text": null(zero + 1),
        "intra_sentence_similarity": null(texts.host("chance").sum(axis=1) / directed),
    }


def _pairs(texts: TextSums) -> Float[np.ndarray, " layer"]:
    n = texts.host("squared").sum(axis=1)
    return np.asarray(np.maximum(n * (n - 1), 1.0))


def _spread(pairs: Float[np.ndarray, " layer"], texts: TextSums) -> Float[np.ndarray, " layer"]:
    """Return the standard deviation of the mean cosine of that many isotropic pairs."""
    return np.asarray(np.sqrt(2 / (pairs * texts.d_model)))


_NAMES = (
    "mean_cosine",
    "su_collier_pooled",
    "su_collier_per_text",
    "intra_sentence_similarity",
    "rogue_share",
)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums of every layer by block, all of them or each of the rest without one."""

    direction: Float[np.ndarray, "layer block d_model"]
    top: Float[np.ndarray, "layer block top"]
    scalars: Float[np.ndarray, "layer block six"]
    rogue: Float[np.ndarray, "layer 1"]

    @classmethod
    def of(cls, texts: TextSums, blocks: NDArray[np.intp]) -> "_Sums":
        direction = texts.host("direction")[:, blocks]
        best = np.argsort(-contributions(texts), axis=1)[:, :TOP]
        coordinate = np.take_along_axis(texts.host("coordinate"), best, axis=1).sum(
            axis=1, keepdims=True
        )
        return cls(
            direction=direction,
            top=np.take_along_axis(direction, best[:, None], axis=2),
            scalars=np.stack([texts.host(name)[:, blocks] for name in _SCALARS], axis=2),
            rogue=coordinate
            / np.maximum(texts.host("coordinate").sum(axis=1, keepdims=True), 1e-300),
        )

    def metrics(self) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
        """Return every metric of the whole, and without each block."""
        parts = (self.direction, self.top, self.scalars)
        whole = [part.sum(axis=1, keepdims=True) for part in parts]
        rest = [total - part for total, part in zip(whole, parts, strict=True)]
        return (
            {name: x[:, 0] for name, x in self._read(*whole).items()},
            self._read(*rest),
        )

    def _read(
        self,
        direction: Float[np.ndarray, "layer choice d_model"],
        top: Float[np.ndarray, "layer choice top"],
        scalars: Float[np.ndarray, "layer choice six"],
    ) -> dict[str, NDArray[np.float64]]:
        n, within, pairs, separate, paired, sentence, directed = np.moveaxis(scalars, 2, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = ((direction**2).sum(axis=2) - n) / (n**2 - n)
            rogue = ((top**2).sum(axis=2) - n * self.rogue) / (n**2 - n) / mean
            values = (mean, 1 - within / pairs, separate / paired, sentence / directed, rogue)
        return dict(zip(_NAMES, values, strict=True))


_SCALARS = ("squared", *OF_TEXTS[:-1])
