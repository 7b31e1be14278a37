"""A linear readout from the states of every layer to the words of a sentence."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from probes.sentence_states.vocabulary import OTHER

CURRENT, PREVIOUS, NEXT = "current", "previous", "next"
TARGETS = {CURRENT: 0, PREVIOUS: -1, NEXT: 1}
_FAR = 8.0


@dataclass(frozen=True, kw_only=True, eq=False)
class WordReadout:
    """Words of a sentence, log p = log softmax(standardised state · map[layer] · up + bias).

    `up` and `bias` are shared by all layers and targets; `maps[target]` are `layer d_model rank`.
    `platt` (target, layer) turns the log-probability x of a word into the probability that it
    stands in the sentence, 1 / (1 + exp(−(a·x + b))).
    """

    mean: Float[Tensor, "layer d_model"]
    scale: Float[Tensor, "layer d_model"]
    maps: Mapping[str, Float[Tensor, "layer d_model rank"]]
    up: Float[Tensor, "rank word"]
    bias: Float[Tensor, " word"]
    platt: Mapping[str, Float[Tensor, "layer two"]]

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return len(self.mean)

    def standardised(
        self, layer: int, states: Float[Tensor, "n d_model"]
    ) -> Float[Tensor, "n d_model"]:
        """Return states less the mean of the layer, over its standard deviation."""
        mean, scale = self.mean[layer].to(states.device), self.scale[layer].to(states.device)
        return standardised(states, mean, scale)

    def log_p(
        self, layer: int, states: Float[Tensor, "n d_model"], target: str = CURRENT
    ) -> Float[Tensor, "n word"]:
        """Return the log-probability of every word, all others together in first place."""
        z = self.standardised(layer, states)
        weights = (x.to(z.device) for x in (self.maps[target][layer], self.up, self.bias))
        down, up, bias = weights
        found: Tensor = (z @ down @ up + bias).log_softmax(dim=-1)
        return found

    def probability(
        self, layer: int, log_p: Float[Tensor, "*place"], target: str = CURRENT
    ) -> Float[Tensor, "*place"]:
        """Return how probable it is that a word of that log-probability is in the sentence."""
        a, b = self.platt[target][layer].tolist()
        return torch.sigmoid(a * log_p + b)

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights by name."""
        return {
            "mean": self.mean,
            "scale": self.scale,
            "up": self.up,
            "bias": self.bias,
            "map": self.maps[CURRENT],
            **{n: x for t in self.maps if t != CURRENT for n, x in _factors(t, self.maps[t])},
            **{f"platt.{name}": x for name, x in self.platt.items()},
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "WordReadout":
        """Build it from tensors by name."""
        known = {name: x.float() for name, x in tensors.items()}
        maps = {t: known[f"down.{t}"] @ known[f"up.{t}"] for t in TARGETS if t != CURRENT}
        plain = {name: known[name] for name in ("mean", "scale", "up", "bias")}
        platt = {target: known[f"platt.{target}"] for target in TARGETS}
        return cls(**plain, maps={CURRENT: known["map"], **maps}, platt=platt)


def standardised(
    states: Float[Tensor, "n d_model"],
    mean: Float[Tensor, " d_model"],
    scale: Float[Tensor, " d_model"],
) -> Float[Tensor, "n d_model"]:
    """Return states less a mean over a standard deviation, far ones drawn in."""
    return ((states.float() - mean) / scale).clamp(-_FAR, _FAR)


def _factors(target: str, maps: Float[Tensor, "layer d_model rank"]) -> list[tuple[str, Tensor]]:
    """Return a map that has a low rank across all layers as two factors, by name."""
    flat = maps.reshape(-1, maps.shape[2])
    left, sizes, right = torch.linalg.svd(flat, full_matrices=False)
    n = max(1, int((sizes > 1e-6 * sizes[0]).sum()))
    down = (left[:, :n] * sizes[:n]).reshape(*maps.shape[:2], n)
    return [(f"down.{target}", down), (f"up.{target}", right[:n])]


def best_words(log_p: Float[Tensor, "n word"], most: int) -> Int[Tensor, "n k"]:
    """Return the most probable words, the place of all others left out."""
    masked = log_p.clone()
    masked[:, OTHER] = -torch.inf
    return masked.topk(min(most, log_p.shape[1] - 1), dim=-1).indices


def fit_platt(log_p: Float[Tensor, " n"], is_there: Float[Tensor, " n"]) -> Float[Tensor, " two"]:
    """Fit slope and offset of a logistic curve by Newton steps, with a weak ridge.

    Source: Platt 1999, his smoothed targets.
    """
    n_yes, n_no = float(is_there.sum()), float((1 - is_there).sum())
    y = torch.where(is_there > 0, (n_yes + 1) / (n_yes + 2), 1 / (n_no + 2)).double()
    x = torch.stack([log_p.double(), torch.ones_like(log_p, dtype=torch.float64)], dim=1)
    found = torch.tensor([1.0, 0.0], dtype=torch.float64)
    ridge = 1e-3 * torch.eye(2, dtype=torch.float64)
    for _ in range(50):
        p = torch.sigmoid(x @ found)
        gradient = x.T @ (p - y) + ridge @ found
        curvature = (x * (p * (1 - p))[:, None]).T @ x + ridge
        step = torch.linalg.solve(curvature, gradient)
        found = found - step * min(1.0, 5.0 / max(float(step.norm()), 1e-9))
        if float(step.abs().max()) < 1e-9:
            break
    return found.float()
