"""Cosine sums about the mean of all tokens, which only the sample allows in one pass."""

import numpy as np
from jaxtyping import Float

from probes.geometry.reservoir import Sampled
from probes.geometry.texts import Runs, TextSums


def centred_texts(sample: Sampled, means: Float[np.ndarray, "layer d_model"]) -> TextSums:
    """Return text sums of the sampled tokens after the mean of all tokens is taken away."""
    order = np.lexsort((sample.units, sample.texts))
    texts, units = sample.texts[order], sample.units[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (texts[1:] != texts[:-1]) | (units[1:] != units[:-1])
    starts = np.flatnonzero(new)
    sums = TextSums(*means.shape)
    directions, vectors, squares, lengths = [], [], [], []
    for site, mean in enumerate(means):
        x = sample.x[site][order].astype(np.float64) - mean
        length = np.linalg.norm(x, axis=1)
        unit = x / np.where(length > 0, length, 1)[:, None]
        sums.coordinate[site] = (unit**2).sum(axis=0)
        directions.append(np.add.reduceat(unit, starts, axis=0))
        vectors.append(np.add.reduceat(x, starts, axis=0))
        squares.append(np.add.reduceat((length > 0).astype(np.float64), starts))
        lengths.append(np.add.reduceat(length, starts))
    sums.add(
        Runs(
            keys=texts[starts],
            units=units[starts],
            n=np.diff([*starts, len(order)]).astype(np.int64),
            direction=np.stack(directions),
            vector=np.stack(vectors),
            squared=np.stack(squares),
            length=np.stack(lengths),
        )
    )
    return sums.closed()
