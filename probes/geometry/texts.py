"""Streaming sums of unit vectors by text, kept in blocks of texts for the bootstrap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from numpy.typing import NDArray
from scipy.special import gammaln, hyp2f1

BLOCKS = 256
_CANCELLED = 1e-6

_BY_SITE = (
    "direction",
    "squared",
    "within",
    "pairs",
    "separate",
    "paired_texts",
    "sentence",
    "directed_texts",
    "chance",
)
_BY_BLOCK = ("tokens", "texts")
_WHOLE = ("coordinate", "norm", "zeros")


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Sums over consecutive tokens of one text each, in reading order.

    `direction` sums unit vectors, `vector` raw ones, `length` their lengths; `squared` sums
    squared lengths of unit vectors, which is the count less the zero vectors.
    """

    keys: Int64[np.ndarray, " run"]
    units: Int64[np.ndarray, " run"]
    n: Int64[np.ndarray, " run"]
    direction: Float64[np.ndarray, "layer run d_model"]
    vector: Float64[np.ndarray, "layer run d_model"]
    squared: Float64[np.ndarray, "layer run"]
    length: Float64[np.ndarray, "layer run"]

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.n)

    def take(self, which: Bool[np.ndarray, " run"]) -> "Runs":
        """Return some of the runs."""
        return Runs(
            keys=self.keys[which],
            units=self.units[which],
            n=self.n[which],
            direction=self.direction[:, which],
            vector=self.vector[:, which],
            squared=self.squared[:, which],
            length=self.length[:, which],
        )

    def joined(self) -> "Runs":
        """Add up neighbouring runs of the same text."""
        new = np.ones(len(self), dtype=bool)
        new[1:] = (self.keys[1:] != self.keys[:-1]) | (self.keys[1:] == 0)
        if new.all():
            return self
        starts = np.flatnonzero(new)
        return Runs(
            keys=self.keys[starts],
            units=self.units[starts],
            n=np.add.reduceat(self.n, starts),
            direction=np.add.reduceat(self.direction, starts, axis=1),
            vector=np.add.reduceat(self.vector, starts, axis=1),
            squared=np.add.reduceat(self.squared, starts, axis=1),
            length=np.add.reduceat(self.length, starts, axis=1),
        )

    def then(self, other: "Runs") -> "Runs":
        """Return these runs followed by others."""
        return Runs(
            keys=np.concatenate([self.keys, other.keys]),
            units=np.concatenate([self.units, other.units]),
            n=np.concatenate([self.n, other.n]),
            direction=np.concatenate([self.direction, other.direction], axis=1),
            vector=np.concatenate([self.vector, other.vector], axis=1),
            squared=np.concatenate([self.squared, other.squared], axis=1),
            length=np.concatenate([self.length, other.length], axis=1),
        )


class TextSums:
    """Everything the cosine metrics need, in memory that does not grow with the data.

    A text adds to one of 256 blocks, chosen by its hash, so blocks are random sets of texts
    whatever the order of the data. The first and the last text stay open while the data before
    or after may continue them.
    """

    def __init__(self, n_sites: int, d_model: int) -> None:
        """Begin with nothing counted."""
        self.direction = np.zeros((n_sites, BLOCKS, d_model))
        self.squared, self.within, self.pairs, self.separate = np.zeros((4, n_sites, BLOCKS))
        self.paired_texts, self.sentence = np.zeros((2, n_sites, BLOCKS))
        self.directed_texts, self.chance = np.zeros((2, n_sites, BLOCKS))
        self.tokens, self.texts = np.zeros((2, BLOCKS))
        self.coordinate = np.zeros((n_sites, d_model))
        self.norm, self.zeros = np.zeros((2, n_sites))
        self.open = _no_runs(n_sites, d_model)

    @property
    def n_tokens(self) -> int:
        """The number of tokens counted."""
        return int(self.tokens.sum())

    def add(self, runs: Runs) -> None:
        """Add runs in reading order."""
        blocks = runs.units % BLOCKS
        _add_at(self.direction, blocks, runs.direction)
        _add_at(self.squared, blocks, runs.squared)
        np.add.at(self.tokens, blocks, runs.n)
        self._read_on(runs)

    def _read_on(self, runs: Runs) -> None:
        """Close every text that is known to be complete, keeping the two ends open."""
        texts = self.open.then(runs).joined()
        complete = texts.keys == 0
        complete[1:-1] = True
        self._close(texts.take(complete))
        self.open = texts.take(~complete)

    def _close(self, texts: Runs) -> None:
        """Add complete texts to their blocks."""
        if not len(texts):
            return
        blocks, n = texts.units % BLOCKS, texts.squared
        pairs = n * (n - 1)
        within = (texts.direction**2).sum(axis=2) - texts.squared
        paired = n > 1
        _add_at(self.within, blocks, within * paired)
        _add_at(self.separate, blocks, (1 - within / np.maximum(pairs, 1)) * paired)
        _add_at(self.paired_texts, blocks, paired.astype(np.float64))
        _add_at(self.pairs, blocks, pairs * paired)
        similarity, directed = _to_mean(texts)
        _add_at(self.sentence, blocks, similarity)
        _add_at(self.directed_texts, blocks, directed.astype(np.float64))
        _add_at(self.chance, blocks, chance_to_mean(n, texts.vector.shape[2]) * directed)
        np.add.at(self.texts, blocks, 1.0)

    def closed(self) -> "TextSums":
        """Return a copy in which the open texts are complete."""
        copy = TextSums(self.direction.shape[0], self.direction.shape[2])
        copy.restore(self.state())
        copy._close(copy.open)
        copy.open = _no_runs(*self.coordinate.shape)
        return copy

    def merge(self, other: "TextSums") -> None:
        """Add the sums of the data that came after."""
        for name in (*_BY_SITE, *_BY_BLOCK, *_WHOLE):
            mine = getattr(self, name)
            mine += getattr(other, name)
        self._read_on(other.open)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the whole state."""
        named = (*_BY_SITE, *_BY_BLOCK, *_WHOLE)
        state = {f"texts.{name}": getattr(self, name) for name in named}
        return state | {f"open.{name}": value for name, value in vars(self.open).items()}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        for name in (*_BY_SITE, *_BY_BLOCK, *_WHOLE):
            setattr(self, name, np.array(arrays[f"texts.{name}"]))
        self.open = Runs(**{name: np.array(arrays[f"open.{name}"]) for name in vars(self.open)})


def _add_at(
    sums: NDArray[np.float64], blocks: NDArray[np.int64], values: NDArray[np.float64]
) -> None:
    """Add values to blocks along the second axis, repeated blocks included."""
    np.add.at(sums.swapaxes(0, 1), blocks, values.swapaxes(0, 1))


def _to_mean(
    texts: Runs,
) -> tuple[Float[np.ndarray, "layer run"], Bool[np.ndarray, "layer run"]]:
    """Return each text's mean cosine of its tokens to its raw mean vector, and where it has one.

    Vectors that cancel have no mean direction, and the cosine to it does not exist.
    """
    total = np.linalg.norm(texts.vector, axis=2)
    directed = total > _CANCELLED * texts.length
    toward = (texts.vector * texts.direction).sum(axis=2)
    mean = toward / np.where(directed, total, 1) / np.maximum(texts.squared, 1)
    return np.where(directed, mean, 0.0), directed


def chance_to_mean(n: Float[np.ndarray, "*shape"], d_model: int) -> Float[np.ndarray, "*shape"]:
    """Return the expected cosine of n isotropic Gaussian vectors to their mean, exactly.

    Token and mean have correlation ρ = 1/√n in every dimension, and the cosine is their sample
    correlation over d dimensions: E = ρ (2/d) (Γ((d+1)/2)/Γ(d/2))² ₂F₁(½, ½; d/2 + 1; ρ²).

    Source: Hotelling 1953, Journal of the Royal Statistical Society B 15, 193–232.
    """
    rho2 = 1 / np.maximum(n, 1)
    ratio = np.exp(2 * (gammaln((d_model + 1) / 2) - gammaln(d_model / 2))) * 2 / d_model
    found: NDArray[np.float64] = np.sqrt(rho2) * ratio * hyp2f1(0.5, 0.5, d_model / 2 + 1, rho2)
    return found


def _no_runs(n_sites: int, d_model: int) -> Runs:
    return Runs(
        keys=np.zeros(0, dtype=np.int64),
        units=np.zeros(0, dtype=np.int64),
        n=np.zeros(0, dtype=np.int64),
        direction=np.zeros((n_sites, 0, d_model)),
        vector=np.zeros((n_sites, 0, d_model)),
        squared=np.zeros((n_sites, 0)),
        length=np.zeros((n_sites, 0)),
    )
