"""Codes of tokens turned by their place, so that their sum still tells which stood where."""

import math
from collections.abc import Mapping
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

CODE, MEAN, TURNS, SCALARS = "code", "mean", "turns", "scalars"
NAMES = (CODE, MEAN, TURNS, SCALARS)
_SHRINKAGE = 0.1


class PlaceCodes:
    """Unit codes of tokens, their turning by place, and what a sum of them says of one token.

    The code of a token is its input embedding less the mean of all, through the map `code`, at
    length one. At place t every pair of coordinates is turned by t times an angle of its own, so
    that codes at different places are nearly orthogonal.

    Source: binding by rotation after Plate 1995, holographic reduced representations, with the
    pairs of arXiv:2104.09864. We differ: angles are drawn uniformly.
    """

    def __init__(
        self, embedding: Float[Tensor, "d_vocab d_model"], weights: Mapping[str, Tensor]
    ) -> None:
        """Join the input embedding of a model with the weights `fresh_weights` begins with."""
        self.embedding, self.weights = embedding, weights

    @cached_property
    def every(self) -> Float[Tensor, "d_vocab d_model"]:
        """The code of every token of the vocabulary, without gradients."""
        with torch.no_grad():
            return self.of(torch.arange(len(self.embedding), device=self.embedding.device))

    def of(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch d_model"]:
        """Return the codes of some tokens, with gradients."""
        x = self.embedding[ids].float() - self.weights[MEAN]
        return torch.nn.functional.normalize(x @ self.weights[CODE], dim=-1)

    def turned(
        self, codes: Float[Tensor, "*batch d_model"], places: Int[Tensor, "*#batch"]
    ) -> Float[Tensor, "*batch d_model"]:
        """Turn codes to their places; the negative place turns back."""
        angles = places[..., None] * self.weights[TURNS]
        cosine, sine = angles.cos(), angles.sin()
        half = sine.shape[-1]
        a, b = codes[..., :half], codes[..., half : 2 * half]
        parts = [a * cosine - b * sine, a * sine + b * cosine, codes[..., 2 * half :]]
        return torch.cat(parts, dim=-1)

    def scores(
        self, rest: Float[Tensor, "*batch d_model"], codes: Float[Tensor, "token d_model"]
    ) -> Float[Tensor, "*batch token"]:
        """Return the log-likelihood of each token at a place, given the sum from there on.

        The rest of the sum is noise to the token in question: n codes of length one spread
        about (n − 1)/d_model of variance over every direction. `rest` is turned back already.
        """
        gain, floor = self.weights[SCALARS][0].exp(), self.weights[SCALARS][1].exp()
        others = (rest.square().sum(dim=-1, keepdim=True) - 1.0).clamp(min=0.0)
        return gain * (rest @ codes.T) / (others / rest.shape[-1] + floor)

    def joint(
        self,
        expected: Float[Tensor, "*batch token"],
        rest: Float[Tensor, "*batch d_model"],
        tokens: Int[Tensor, " token"] | None,
        stop: int,
    ) -> Float[Tensor, "*batch token"]:
        """Return logits of some tokens, or of all: what a model expects and what is left."""
        codes = self.every if tokens is None else self.of(tokens)
        prior, ending = self.weights[SCALARS][2], self.weights[SCALARS][3]
        ids = torch.arange(len(codes), device=codes.device) if tokens is None else tokens
        return prior * expected + self.scores(rest, codes) + ending * (ids == stop)


def fresh_weights(
    embedding: Float[Tensor, "d_vocab d_model"], generator: torch.Generator
) -> dict[str, Tensor]:
    """Return weights to begin with: the whitening of the embeddings, and angles drawn at random.

    The whitening is that of their covariance with a tenth of the mean eigenvalue added.
    """
    x = embedding.detach().float()
    mean = x.mean(dim=0)
    values, axes = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    scales = (values.clamp(min=0.0) + _SHRINKAGE * values.mean()).rsqrt()
    half = x.shape[1] // 2
    turns = 2 * math.pi * torch.rand(half, generator=generator)
    scalars = torch.tensor([0.0, math.log(0.02), 1.0, 0.0])
    return {
        CODE: (axes * scales) @ axes.T,
        MEAN: mean,
        TURNS: turns.to(x.device),
        SCALARS: scalars.to(x.device),
    }
