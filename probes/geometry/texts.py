"""Streaming sums of unit vectors by text, kept in blocks of texts for the jackknife."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from numpy.typing import NDArray
from scipy.special import gammaln, hyp2f1
from torch import Tensor

from probes.geometry.adding import added

BLOCKS = 256
_CANCELLED = 1e-6

OF_TEXTS = (
    "within",
    "pairs",
    "separate",
    "paired_texts",
    "sentence",
    "directed_texts",
    "chance",
)
_SUMS = ("direction", "squared", "of_texts", "coordinate", "norm", "zeros")


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Sums over consecutive tokens of one text each, in reading order; key 0 is a whole text.

    `direction` sums unit vectors, `vector` raw ones, `length` their lengths; `squared` sums
    squared lengths of unit vectors, which is the count less the zero vectors.
    """

    keys: Int64[np.ndarray, " run"]
    units: Int64[np.ndarray, " run"]
    n: Int64[np.ndarray, " run"]
    direction: Float64[Tensor, "layer run d_model"]
    vector: Float64[Tensor, "layer run d_model"]
    squared: Float64[Tensor, "layer run"]
    length: Float64[Tensor, "layer run"]

    def __len__(self) -> int:
        """Return the number of runs."""
        return len(self.n)

    def take(self, rows: Int64[np.ndarray, " k"]) -> "Runs":
        """Return some of the runs."""
        at = torch.from_numpy(rows).to(self.squared.device)
        sums = {name: x.index_select(1, at) for name, x in self._tensors().items()}
        return Runs(keys=self.keys[rows], units=self.units[rows], n=self.n[rows], **sums)

    def in_order(self, order: Int64[np.ndarray, " run"]) -> "Runs":
        """Return the runs in another order; that of whole texts moves nothing."""
        return self.take(order) if self.keys.any() else self

    def joined(self) -> "Runs":
        """Add up neighbouring runs of the same text."""
        new = np.ones(len(self), dtype=bool)
        new[1:] = (self.keys[1:] != self.keys[:-1]) | (self.keys[1:] == 0)
        if new.all():
            return self
        starts, row = np.flatnonzero(new), np.cumsum(new) - 1
        sums = {name: added(x, row, len(starts)) for name, x in self._tensors().items()}
        n = np.add.reduceat(self.n, starts)
        return Runs(keys=self.keys[starts], units=self.units[starts], n=n, **sums)

    def then(self, other: "Runs") -> "Runs":
        """Return these runs followed by others."""
        if not len(self):
            return other
        mine, theirs = self._tensors(), other._tensors()
        return Runs(
            keys=np.concatenate([self.keys, other.keys]),
            units=np.concatenate([self.units, other.units]),
            n=np.concatenate([self.n, other.n]),
            **{name: torch.cat([x, theirs[name]], dim=1) for name, x in mine.items()},
        )

    def _tensors(self) -> dict[str, Tensor]:
        return {name: x for name, x in vars(self).items() if isinstance(x, Tensor)}


class TextSums:
    """Everything the cosine metrics need, in memory that does not grow with the data.

    A text adds to one of 256 blocks, chosen by its hash, so blocks are random sets of texts
    whatever the order of the data. `of_texts` are sums over whole texts, named by `OF_TEXTS`. The
    first and the last text stay open while the data before or after may continue them.
    """

    def __init__(self, n_sites: int, d_model: int, device: torch.device) -> None:
        """Begin with nothing counted."""

        def zeros(*shape: int) -> Float64[Tensor, "..."]:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        self.direction = zeros(n_sites, BLOCKS, d_model)
        self.squared, self.of_texts = (
            zeros(n_sites, BLOCKS),
            zeros(n_sites, BLOCKS, len(OF_TEXTS)),
        )
        self.coordinate = zeros(n_sites, d_model)
        self.norm, self.zeros = zeros(n_sites), zeros(n_sites)
        self.tokens, self.texts = np.zeros((2, BLOCKS))
        none = np.zeros(0, dtype=np.int64)
        self.open = Runs(
            keys=none,
            units=none,
            n=none,
            direction=zeros(n_sites, 0, d_model),
            vector=zeros(n_sites, 0, d_model),
            squared=zeros(n_sites, 0),
            length=zeros(n_sites, 0),
        )

    @property
    def d_model(self) -> int:
        """The width of the vectors."""
        return self.coordinate.shape[1]

    @property
    def n_tokens(self) -> int:
        """The number of tokens counted."""
        return int(self.tokens.sum())

    def host(self, name: str) -> NDArray[np.float64]:
        """Return one of the sums, or one over whole texts, as an array."""
        if name in OF_TEXTS:
            return self.of_texts[..., OF_TEXTS.index(name)].cpu().numpy()
        found: NDArray[np.float64] = getattr(self, name).cpu().numpy()
        return found

    def add(self, runs: Runs) -> None:
        """Add runs in reading order."""
        blocks = runs.units % BLOCKS
        self.direction += added(runs.direction, blocks, BLOCKS)
        self.squared += added(runs.squared, blocks, BLOCKS)
        np.add.at(self.tokens, blocks, runs.n)
        self._read_on(runs)

    def _read_on(self, runs: Runs) -> None:
        """Close every text that is known to be complete, keeping the two ends open."""
        texts = self.open.then(runs).joined()
        complete = texts.keys == 0
        complete[1:-1] = True
        if complete.all():
            self._close(texts)
            self.open = texts.take(np.zeros(0, dtype=np.int64))
        else:
            self._close(texts.take(np.flatnonzero(complete)))
            self.open = texts.take(np.flatnonzero(~complete))

    def _close(self, texts: Runs) -> None:
        """Add complete texts to their blocks."""
        if not len(texts):
            return
        blocks = texts.units % BLOCKS
        self.of_texts += added(_of_texts(texts), blocks, BLOCKS)
        np.add.at(self.texts, blocks, 1.0)

    def closed(self) -> "TextSums":
        """Return a copy in which the open texts are complete."""
        copy = self._empty()
        vars(copy).update(vars(self))
        copy.of_texts, copy.texts = self.of_texts.clone(), self.texts.copy()
        copy._close(copy.open)
        return copy

    def tensors(self) -> dict[str, Tensor]:
        """Return the sums of the state."""
        sums = {f"texts.{name}": getattr(self, name) for name in _SUMS}
        return sums | {f"open.{name}": x for name, x in self.open._tensors().items()}

    def counts(self) -> dict[str, NDArray[Any]]:
        """Return the counts of the state."""
        open_ = {f"open.{name}": getattr(self.open, name) for name in ("keys", "units", "n")}
        return {"texts.tokens": self.tokens, "texts.texts": self.texts, **open_}

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add the state of the data that came after."""
        for name in _SUMS:
            mine = getattr(self, name)
            mine += self._loaded(arrays[f"texts.{name}"])
        self.tokens = self.tokens + arrays["texts.tokens"]
        self.texts = self.texts + arrays["texts.texts"]
        found = {f.name: np.array(arrays[f"open.{f.name}"]) for f in fields(Runs)}
        sums = {k: self._loaded(x) for k, x in found.items() if x.dtype == np.float64}
        theirs = Runs(keys=found["keys"], units=found["units"], n=found["n"], **sums)
        if len(theirs):
            self._read_on(theirs)

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over a state."""
        vars(self).update(vars(self._empty()))
        self.merge(arrays)

    def _empty(self) -> "TextSums":
        n_sites, d_model = self.coordinate.shape
        return TextSums(n_sites, d_model, self.coordinate.device)

    def _loaded(self, x: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(np.asarray(x)).to(self.coordinate.device)


def _of_texts(texts: Runs) -> Float64[Tensor, "layer run seven"]:
    """Return what each text adds, in the order of `OF_TEXTS`.

    The cosine of a token to the mean does not exist where vectors cancel and there is none.
    """
    n = texts.squared
    pairs, paired = n * (n - 1), (n > 1).double()
    within = texts.direction.square().sum(dim=2) - n
    total = torch.linalg.vector_norm(texts.vector, dim=2)
    directed = total > _CANCELLED * texts.length
    toward = (texts.vector * texts.direction).sum(dim=2)
    sentence = torch.where(directed, toward / total / n.clamp(min=1), 0.0)
    sizes = np.arange(int(texts.n.max()) + 1, dtype=np.float64)
    chance = torch.from_numpy(chance_to_mean(sizes, texts.vector.shape[2])).to(n.device)
    return torch.stack(
        [
            within * paired,
            pairs * paired,
            (1 - within / pairs.clamp(min=1)) * paired,
            paired,
            sentence,
            directed.double(),
            chance[n.long()] * directed,
        ],
        dim=2,
    )


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
