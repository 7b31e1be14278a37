"""How the next token, or the next input vector, is chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class Lookahead:
    """One forward pass of k candidate tokens per row, kept so that none is run twice."""

    candidates: Int[Tensor, "batch k"]
    logits: Float[Tensor, "batch k d_vocab"]
    captured: Mapping[Site, Float[Tensor, "batch k d_model"]]
    state: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """Everything a policy may look at before it chooses.

    `captured` holds the policy's own reads: the whole prompt at step 0 (in the layout of
    `tokens`), the newest position afterwards. `history[i]` are the real token ids of row i so
    far, prompt included. `generators` has one generator per row. `look` runs k candidates per
    row. `live` marks rows that have not finished.
    """

    index: int
    logits: Float[Tensor, "batch d_vocab"]
    captured: Mapping[Site, Tensor]
    history: Sequence[Sequence[int]]
    live: Sequence[bool]
    generators: Sequence[torch.Generator]
    look: Callable[[Int[Tensor, "batch k"]], Lookahead]


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The chosen token per row; optionally the vector to feed instead of its embedding.

    With `lookahead`, `pick[i]` is the candidate of row i whose forward pass is kept.
    """

    tokens: Int[Tensor, " batch"]
    embeds: Float[Tensor, "batch d_model"] | None = None
    lookahead: Lookahead | None = None
    pick: Int[Tensor, " batch"] | None = None
    record: Any = field(default=None)


@runtime_checkable
class Chooser(Protocol):
    """The state of one policy during one generation."""

    def choose(self, step: Step) -> Choice:
        """Choose the next token of every row."""


@runtime_checkable
class Policy(Protocol):
    """A frozen recipe for choosing tokens."""

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """The activations the policy itself reads at every step."""

    def begin(self, prompt: Tokens, spec: ModelSpec) -> Chooser:
        """Start a generation."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Sample from the temperature-scaled nucleus, one generator per row; 0 is greedy.

    Source: Holtzman et al. 2020, arXiv:1904.09751 (nucleus); probabilities are cut at the
    smallest set whose mass reaches `top_p`, then at the `top_k` largest.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """Read nothing."""
        return ()

    def begin(self, prompt: Tokens, spec: ModelSpec) -> "Sampling":
        """Sampling has no state of its own."""
        return self

    def choose(self, step: Step) -> Choice:
        """Draw one token per row from its own generator."""
        if self.temperature == 0:
            return Choice(tokens=step.logits.argmax(dim=-1))
        p = self.distribution(step.logits)
        drawn = [
            torch.multinomial(p[i], 1, generator=generator)
            for i, generator in enumerate(step.generators)
        ]
        return Choice(tokens=torch.cat(drawn))

    def distribution(
        self, logits: Float[Tensor, "batch d_vocab"]
    ) -> Float[Tensor, "batch d_vocab"]:
        """Return the probabilities that tokens are drawn with."""
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        p = (logits.float() / self.temperature).softmax(dim=-1)
        if self.top_p < 1:
            ordered, order = p.sort(dim=-1, descending=True, stable=True)
            before = ordered.cumsum(dim=-1) - ordered
            keep = torch.zeros_like(p, dtype=torch.bool).scatter(-1, order, before < self.top_p)
            p = p.masked_fill(~keep, 0)
        if self.top_k is not None and self.top_k < p.shape[-1]:
            floor = p.topk(self.top_k, dim=-1).values[..., -1:]
            p = p.masked_fill(p < floor, 0)
        return p / p.sum(dim=-1, keepdim=True)


GREEDY = Sampling(temperature=0.0)
