"""A sparse dictionary: states as sums of few directions, each with how strongly it is there."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ModelError
from workbench.model.site_patterns import SitePattern

Scaling = Literal["none", "layer_norm", "constant_norm_rescale"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dictionary:
    """Features f = act(x·encoder + bias) and the state x̂ = f·decoder + centre.

    `k` > 0 keeps the k largest of each state; a `threshold` keeps those above it; otherwise all
    positive ones stay. `is_centred` takes the centre from the state first. `scaling` is what is
    done to a state before and undone after.
    """

    site: SitePattern
    encoder: Float[Tensor, "d_model feature"]
    decoder: Float[Tensor, "feature d_model"]
    bias: Float[Tensor, " feature"]
    centre: Float[Tensor, " d_model"]
    threshold: Float[Tensor, " feature"] | None = None
    k: int = 0
    is_centred: bool = True
    scaling: Scaling = "none"

    def __post_init__(self) -> None:
        """Refuse weights that do not fit each other.

        Raises:
            ModelError: shapes differ, or `k` is more than there are features.
        """
        d_model, n = self.encoder.shape
        found = [x.shape for x in (self.decoder, self.bias, self.centre)]
        if found != [(n, d_model), (n,), (d_model,)] or self.k > n:
            raise ModelError(
                f"a dictionary of {n} features of width {d_model} with k = {self.k} has decoder, "
                f"bias and centre of the shapes {[tuple(shape) for shape in found]}",
                hint="the files do not belong together",
            )

    @property
    def n_features(self) -> int:
        """The number of directions."""
        return len(self.bias)

    @property
    def d_model(self) -> int:
        """The width of the states."""
        return len(self.centre)

    def features(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch feature"]:
        """Return how strongly each feature is there, zero for most, in units of the scaled x."""
        z, _, _ = self._scaled(x.float())
        pre = (z - self.centre if self.is_centred else z) @ self.encoder + self.bias
        if self.threshold is not None:
            return torch.where(pre > self.threshold, pre.relu(), 0.0)
        return kept(pre, self.k) if self.k else pre.relu()

    def states(
        self, f: Float[Tensor, "*batch feature"], x: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_model"]:
        """Return the states that features of the states x stand for."""
        _, size, mean = self._scaled(x.float())
        return (f @ self.decoder + self.centre) * size + mean

    def contribution(
        self, f: Float[Tensor, "*batch"], feature: int, x: Float[Tensor, "*batch d_model"]
    ) -> Float[Tensor, "*batch d_model"]:
        """Return what one feature adds to the states x at that strength."""
        _, size, _ = self._scaled(x.float())
        return f[..., None] * self.decoder[feature] * size

    def random(self, k: int, generator: torch.Generator) -> "Dictionary":
        """Return a dictionary of as many random directions, of which each state keeps the k best.

        A state's features are rescaled so that the sum comes as close to it as its length allows.
        """
        drawn = torch.randn(self.decoder.shape, generator=generator)
        decoder = drawn / drawn.norm(dim=1, keepdim=True)
        return replace(
            self,
            encoder=decoder.T.contiguous(),
            decoder=decoder,
            bias=torch.zeros_like(self.bias),
            threshold=None,
            k=k,
            is_centred=True,
        )

    def _scaled(self, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        if self.scaling == "layer_norm":
            mean = x.mean(dim=-1, keepdim=True)
            size = (x - mean).std(dim=-1, keepdim=True) + 1e-5
            return (x - mean) / size, size, mean
        if self.scaling == "constant_norm_rescale":
            size = x.norm(dim=-1, keepdim=True).clamp(min=1e-12) / self.d_model**0.5
            return x / size, size, 0.0
        return x, 1.0, 0.0


def kept(pre: Float[Tensor, "*batch feature"], k: int) -> Float[Tensor, "*batch feature"]:
    """Return the k largest of each row where positive, and zero elsewhere."""
    top = pre.topk(k, dim=-1)
    return torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())


def fitted(
    x: Float[Tensor, "*batch d_model"],
    guess: Float[Tensor, "*batch d_model"],
    centre: Float[Tensor, " d_model"],
) -> Float[Tensor, "*batch d_model"]:
    """Return the guess with its distance from the centre rescaled to come closest to x."""
    away = guess - centre
    share = ((x - centre) * away).sum(dim=-1, keepdim=True) / away.square().sum(
        dim=-1, keepdim=True
    ).clamp(min=1e-12)
    return centre + share * away
