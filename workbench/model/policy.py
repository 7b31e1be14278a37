"""How the next token, or the next input vector, is chosen.

A *policy* is a frozen recipe. `begin` turns it into a *chooser*, which may keep a state for the
length of one generation; `choose` looks at a `Step` and returns a `Choice`. Row i of every
tensor is always row i of the prompt: rows that have finished stay in place with `live[i]` false
and zero logits, and what is chosen for them is ignored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, Unpack, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.errors import BadOption
from workbench.model.backend import Backend, Inputs, Outputs, Wanted
from workbench.model.edits import Edit
from workbench.model.rope_switch import RopeSwitch
from workbench.model.sites import Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens

NUCLEUS_LOOKS = (128, 4096)


@dataclass(frozen=True, kw_only=True)
class RowPlan:
    """How the rows of a batch run so that each gives what it gives alone.

    `together` means side by side, padded on the left; otherwise rows of equal length form groups
    without padding. `keeps` says that with a cache the model gives what it gives without one.
    """

    together: bool
    keeps: bool


class PassOptions(TypedDict, total=False):
    """What may be asked of one forward pass, as `Host.forward` takes it."""

    read: Sequence[Site]
    edits: Sequence[Edit]
    logits: Wanted
    step: int


@runtime_checkable
class Host(Protocol):
    """The part of a Model that generation and policies build on."""

    spec: ModelSpec
    backend: Backend
    switch: RopeSwitch | None

    @property
    def device(self) -> torch.device:
        """Where the input embeddings live."""

    def forward(self, inputs: Inputs, **asked: Unpack[PassOptions]) -> Outputs:
        """Make one forward pass."""

    def row_plan(self, tokens: Tokens, *, more: int = 0) -> RowPlan:
        """Say how rows run, during `more` generated tokens as well."""

    def embed(self, ids: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_model"]:
        """Look token ids up in the input embedding."""

    def unembed(
        self, h: Float[Tensor, "*batch d_model"], *, normed: bool = False
    ) -> Float[Tensor, "*batch d_vocab"]:
        """Map residual-stream states to logits."""

    def decode(self, ids: Sequence[int] | Int[Tensor, " pos"]) -> str:
        """Turn token ids into text."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lookahead:
    """One forward pass of k candidate tokens per row, kept so that none is run twice.

    `captured` holds the reads of the policy at the candidate's own position. `state` belongs to
    the generation loop.
    """

    candidates: Int[Tensor, "batch k"]
    logits: Float[Tensor, "batch k d_vocab"]
    captured: Mapping[Site, Float[Tensor, "batch k *shape"]]
    state: Any = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """Everything a policy may look at before it chooses.

    `captured` holds the policy's own reads: the whole prompt at step 0 (in the layout of the
    prompt given to `begin`), the newest position afterwards. `history[i]` are the real token ids
    of row i so far, prompt included. `generators` has one generator per row. `look` runs k
    candidates per row. `live` marks rows that have not finished.
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
    """The chosen token per row, and optionally more.

    - `embeds`: vectors to feed instead of token embeddings, in the rows marked by `fed` (all of
      them when None); the other rows feed their token.
    - `silent`: rows whose position is fed but emits no token, such as a latent thought; the id
      in `tokens` then only labels the position.
    - `stop`: rows that end with this token.
    - `lookahead` with `pick`: candidate `pick[i]` of row i is the chosen token, and its forward
      pass is kept.
    - `record`: what the policy wants to remember of this step.
    """

    tokens: Int[Tensor, " batch"]
    embeds: Float[Tensor, "batch d_model"] | None = None
    fed: Bool[Tensor, " batch"] | None = None
    silent: Bool[Tensor, " batch"] | None = None
    stop: Bool[Tensor, " batch"] | None = None
    lookahead: Lookahead | None = None
    pick: Int[Tensor, " batch"] | None = None
    record: Any = None


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

    def begin(self, prompt: Tokens, model: Host) -> Chooser:
        """Start a generation from a left-padded prompt."""


@runtime_checkable
class RunsOtherwise(Protocol):
    """A policy that has the model run in another way after the prompt, as with fewer layers."""

    def host(self, model: Host) -> Host:
        """Return what runs the steps; the model itself where nothing is changed."""


class ReadsNothing:
    """A policy that reads no activations of its own."""

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """Read nothing."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Sampling(ReadsNothing):
    """Sample from the temperature-scaled nucleus, one generator per row; 0 is greedy.

    Source: Holtzman et al. 2020, arXiv:1904.09751 (nucleus). Probabilities are cut at the
    smallest set whose mass reaches `top_p`, then at the `top_k` largest.

    Raises:
        BadOption: a setting lies outside its bounds.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None

    def __post_init__(self) -> None:
        """Refuse settings that define no distribution."""
        problems = []
        if not 0 <= self.temperature < float("inf"):
            problems.append(f"temperature is {self.temperature}; expected 0 or more")
        if not 0 < self.top_p <= 1:
            problems.append(f"top_p is {self.top_p}; expected more than 0 and at most 1")
        if self.top_k is not None and self.top_k < 1:
            problems.append(f"top_k is {self.top_k}; expected at least 1")
        if problems:
            raise BadOption("; ".join(problems))

    def begin(self, prompt: Tokens, model: Host) -> "Sampling":
        """Sampling has no state of its own."""
        return self

    def choose(self, step: Step) -> Choice:
        """Draw one token per live row from its own generator."""
        if self.temperature == 0:
            return Choice(tokens=step.logits.argmax(dim=-1))
        return Choice(tokens=draw(self.distribution(step.logits), step.generators, step.live))

    def distribution(
        self, logits: Float[Tensor, "batch d_vocab"]
    ) -> Float[Tensor, "batch d_vocab"]:
        """Return the probabilities that tokens are drawn with."""
        if self.temperature == 0:
            return torch.zeros_like(logits).scatter(-1, logits.argmax(-1, keepdim=True), 1.0)
        p = (logits.float() / self.temperature).softmax(dim=-1)
        if self.top_p < 1:
            p = _nucleus(p, self.top_p)
        if self.top_k is not None and self.top_k < p.shape[-1]:
            floor = p.topk(self.top_k, dim=-1).values[..., -1:]
            p = p.masked_fill(p < floor, 0)
        return p / p.sum(dim=-1, keepdim=True)


def draw(
    p: Float[Tensor, "batch d_vocab"],
    generators: Sequence[torch.Generator],
    live: Sequence[bool] | None = None,
) -> Int[Tensor, " batch"]:
    """Draw one token per row from its own generator; rows that are not live get any token.

    The race argmin E/p with E exponential: rounding in p can only change a draw when two tokens
    all but tie, so a row's tokens do not depend on how many rows are computed beside it. Every
    draw takes as many numbers from the generator as there are tokens.
    """
    noise = torch.zeros_like(p)
    for i, generator in enumerate(generators):
        if live is None or live[i]:
            noise[i] = torch.rand(p.shape[-1], generator=generator, device=generator.device)
    # Uniform numbers are multiples of 2^-24: half a step more keeps E from being zero.
    exponential = noise.add_(2.0**-25).neg_().log1p_().neg_()
    return (p / exponential).argmax(dim=-1)


def _nucleus(p: Float[Tensor, "batch d_vocab"], mass: float) -> Float[Tensor, "batch d_vocab"]:
    # Sorting a whole vocabulary costs more than everything else in a small model's step, and the
    # nucleus nearly always ends among the first hundred tokens.
    floor = torch.zeros_like(p[:, :1])
    rows = torch.arange(len(p), device=p.device)
    for few in (*NUCLEUS_LOOKS, p.shape[-1]):
        top = p[rows].topk(min(few, p.shape[-1]), dim=-1).values
        inside = top.cumsum(dim=-1) - top < mass
        floor[rows] = top.masked_fill(~inside, 1.0).amin(dim=-1, keepdim=True)
        rows = rows[inside[:, -1]]
        if len(rows) == 0:
            break
    return p.masked_fill(p < floor, 0)


GREEDY = Sampling(temperature=0.0)
