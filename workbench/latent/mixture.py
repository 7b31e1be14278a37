"""Mixtures of token embeddings, kept as a few tokens with their weights."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.model.policy import Host


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """The tokens of a mixture, heaviest first, with their probabilities as they were.

    What is left of the whole to 1 is the residual mass. Without ids the weights cover the
    vocabulary.
    """

    weights: Float[Tensor, "*batch k"]
    ids: Int[Tensor, "*batch k"] | None = None

    @classmethod
    def of(cls, p: Float[Tensor, "*batch d_vocab"], width: int) -> "Mixture":
        """Keep the `width` likeliest tokens; 0 keeps all of them."""
        if width == 0 or width >= p.shape[-1]:
            return cls(weights=p)
        top = p.topk(width, dim=-1)
        return cls(weights=top.values, ids=top.indices)

    @property
    def residual(self) -> Float[Tensor, "*batch"]:
        """The probability that is not in the mixture."""
        return (1 - self.weights.sum(dim=-1)).clamp(min=0)

    def few(self, width: int) -> "Mixture":
        """Return the heaviest tokens with their ids."""
        top = self.weights.topk(min(width, self.weights.shape[-1]), dim=-1)
        ids = top.indices if self.ids is None else self.ids.gather(-1, top.indices)
        return Mixture(weights=top.values, ids=ids)

    def without(self, tokens: Int[Tensor, " batch"]) -> "Mixture":
        """Return the mixture with one token of each row left out, unless nothing else is in it."""
        if self.ids is None:
            weights = self.weights.scatter(-1, tokens[:, None], 0.0)
        else:
            weights = self.weights.masked_fill(self.ids == tokens[:, None], 0)
        alone = weights.sum(dim=-1, keepdim=True) == 0
        return Mixture(weights=torch.where(alone, self.weights, weights), ids=self.ids)


class EmbeddingTable:
    """The input embeddings of a model, as its blocks receive them."""

    def __init__(self, model: Host) -> None:
        """Find the table; one that the model scales after the look-up is copied."""
        self._model = model
        self._weight = _weight(model)

    @property
    def weight(self) -> Float[Tensor, "d_vocab d_model"]:
        """The embedding of every token."""
        return self._weight

    @cached_property
    def mean_length(self) -> float:
        """The mean length of a token's embedding."""
        return float(self._weight.float().norm(dim=-1).mean())

    def of(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        """Return the embeddings of tokens."""
        return self._weight[ids.to(self._weight.device)]

    def mean(self, mixture: Mixture) -> Float[Tensor, "*batch d_model"]:
        """Return the weighted mean Σ w E / Σ w, in float32."""
        total: Tensor = mixture.weights.float().sum(dim=-1, keepdim=True)
        return self.sum(mixture) / total

    def spread(self, mixture: Mixture) -> Float[Tensor, "*batch d_model"]:
        """Return Σ w E / ‖w‖₂, whose length grows with the entropy of the mixture.

        Source: Yue et al. 2025, arXiv:2505.18454, equation 2 and the released code.
        """
        length: Tensor = mixture.weights.float().norm(dim=-1, keepdim=True)
        return self.sum(mixture) / length.clamp(min=torch.finfo(length.dtype).tiny)

    def sum(self, mixture: Mixture) -> Float[Tensor, "*batch d_model"]:
        """Return Σ w E in float32."""
        weights = mixture.weights.to(self._weight.device)
        if mixture.ids is None:
            return (weights.to(self._weight) @ self._weight).float()
        return (weights.float()[..., None, :] @ self.of(mixture.ids).float())[..., 0, :]


def _weight(model: Host) -> Tensor:
    # Models of transformers name their table; other modules need not.
    find: Any = getattr(model.backend.module, "get_input_embeddings", None)
    weight: Tensor | None = None if find is None else getattr(find(), "weight", None)
    few = torch.arange(2, device=model.device)[None]
    if weight is not None and not weight.is_meta and torch.equal(model.embed(few)[0], weight[:2]):
        return weight.detach()
    return model.embed(torch.arange(model.spec.d_vocab, device=model.device)[None])[0]
