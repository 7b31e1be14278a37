"""What is fed back while a row thinks: the methods behind one interface."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.latent.gate import Gate
from workbench.latent.mixture import EmbeddingTable, Mixture

GATE_WIDTH = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """What a latent input may be made of at one step; row i is row i of the prompt.

    `p` are the probabilities after temperature, `tokens` what was drawn, `hidden` the final
    norm's output at the newest position (None unless asked for), `noise` one standard Gumbel
    number per token (None unless asked for), `thinking` the rows that are not answering.
    """

    index: int
    logits: Float[Tensor, "batch d_vocab"]
    p: Float[Tensor, "batch d_vocab"]
    tokens: Int[Tensor, " batch"]
    table: EmbeddingTable
    thinking: Bool[Tensor, " batch"]
    hidden: Float[Tensor, "batch d_model"] | None = None
    noise: Float[Tensor, "batch d_vocab"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentVector:
    """A vector to feed, in float32, and the mixture it was made of."""

    vector: Float[Tensor, "batch d_model"]
    mixture: Mixture | None = None


@runtime_checkable
class LatentInput(Protocol):
    """A recipe for the next input of rows that think."""

    @property
    def needs_hidden(self) -> bool:
        """Whether it is made of the newest hidden state."""

    @property
    def needs_noise(self) -> bool:
        """Whether it needs Gumbel numbers."""

    def visible(self, now: Moment) -> Int[Tensor, " batch"] | None:
        """Return the tokens that are shown while thinking; None: what was drawn."""

    def next_input(self, now: Moment) -> LatentVector | None:
        """Return what thinking rows are fed; None: their tokens, the identity."""


@dataclass(frozen=True, kw_only=True)
class TokenInput:
    """Feed the token: a plain chain of thought."""

    needs_hidden = False
    needs_noise = False

    def visible(self, now: Moment) -> None:
        """Show what was drawn."""

    def next_input(self, now: Moment) -> None:
        """Feed the token."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GatedMixture:
    """Feed the gated sum of the token's embedding and the spread mixture.

    `width` tokens are mixed (0: the whole vocabulary); the released code mixes at most 50.
    Source: Yue et al. 2025, arXiv:2505.18454, section 3.
    """

    gate: Gate
    width: int = GATE_WIDTH
    needs_hidden: bool = field(default=False, init=False)
    needs_noise: bool = field(default=False, init=False)

    def visible(self, now: Moment) -> None:
        """Show what was drawn."""

    def next_input(self, now: Moment) -> LatentVector:
        """Return a⊙ê + √(1−a²+ε)⊙(i⊙h)."""
        mixture = Mixture.of(now.p, self.width)
        token = now.table.of(now.tokens)
        with torch.no_grad():
            vector = self.gate.opening(token).mix(token, now.table.spread(mixture))
        return LatentVector(vector=vector, mixture=mixture)


@dataclass(frozen=True, kw_only=True)
class SoftTokens:
    """Feed the mean of the likeliest tokens' embeddings and show the likeliest.

    The distribution is cut at `top_p`, `top_k` and `min_p` times its maximum, then at the `n`
    likeliest, and renormalised. With `noise` the weights are exp((ln p + g)/noise), g Gumbel.

    Source: Zhang et al. 2025, arXiv:2505.15778, section 3; noise from arXiv:2508.03440.
    """

    n: int = 10
    top_p: float = 0.95
    top_k: int = 30
    min_p: float = 0.001
    noise: float = 0.0
    needs_hidden = False

    @property
    def needs_noise(self) -> bool:
        """Whether Gumbel numbers are drawn."""
        return self.noise > 0

    def visible(self, now: Moment) -> Int[Tensor, " batch"]:
        """Show the token with the largest weight."""
        mixture = self.mixture(now)
        heaviest = mixture.weights.argmax(dim=-1, keepdim=True)
        ids = heaviest if mixture.ids is None else mixture.ids.gather(-1, heaviest)
        return ids[:, 0]

    def next_input(self, now: Moment) -> LatentVector:
        """Return Σ w E over the mixture."""
        mixture = self.mixture(now)
        return LatentVector(vector=now.table.mean(mixture), mixture=mixture)

    def mixture(self, now: Moment) -> Mixture:
        """Return the likeliest tokens with weights that sum to 1."""
        width = now.p.shape[-1]
        top = now.p.topk(min(self.top_k, width), dim=-1)
        p = top.values
        ahead = p.cumsum(dim=-1) - p
        cut = (ahead >= self.top_p) | (p < self.min_p * p[:, :1])
        cut[:, 0] = False
        cut[:, self.n :] = True
        score = p.masked_fill(cut, 0).log()
        if now.noise is not None:
            score = (score + now.noise.gather(-1, top.indices)) / self.noise
        weights = score.softmax(dim=-1)[:, : self.n]
        return Mixture(weights=weights, ids=top.indices[:, : self.n])


@dataclass(frozen=True, kw_only=True)
class MixtureOfInputs:
    """Feed the posterior mean of the drawn token and the distribution it was drawn from.

    w = (H·p + (β+1−H)·onehot(y)) / (β+1), H the entropy divided by ln V; x = Σ w E.
    Source: Zhuang et al. 2025, arXiv:2505.14827, section 3.
    """

    beta: float = 1.0
    needs_hidden = False
    needs_noise = False

    def visible(self, now: Moment) -> None:
        """Show what was drawn."""

    def next_input(self, now: Moment) -> LatentVector:
        """Return Σ w E over the whole vocabulary."""
        mixture = Mixture(weights=self.weights(now.p, now.tokens))
        return LatentVector(vector=now.table.sum(mixture), mixture=mixture)

    def weights(
        self, p: Float[Tensor, "batch d_vocab"], tokens: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch d_vocab"]:
        """Return the weights, which sum to 1."""
        h = entropy(p)[:, None] / torch.log(torch.tensor(float(p.shape[-1])))
        drawn = torch.zeros_like(p).scatter(-1, tokens[:, None], 1.0)
        return (h * p + (self.beta + 1 - h) * drawn) / (self.beta + 1)


@dataclass(frozen=True, kw_only=True)
class HiddenFeedback:
    """Feed the final norm's output, scaled to the mean length of an embedding: a control."""

    needs_hidden = True
    needs_noise = False

    def visible(self, now: Moment) -> None:
        """Show what was drawn."""

    def next_input(self, now: Moment) -> LatentVector | None:
        """Return the rescaled state."""
        if now.hidden is None:
            return None
        state = now.hidden.float()
        length = now.table.mean_length / state.norm(dim=-1, keepdim=True).clamp(min=1e-12)
        return LatentVector(vector=state * length)


def entropy(p: Float[Tensor, "batch d_vocab"]) -> Float[Tensor, " batch"]:
    """Return −Σ p ln p in nats; zero probabilities count for nothing."""
    each: Tensor = torch.special.xlogy(p, p)
    return each.sum(dim=-1).neg().clamp(min=0)
