"""The policy that thinks in latent inputs and answers in tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.errors import BadOption
from workbench.latent.inputs import LatentInput, LatentVector, Moment, TokenInput, entropy
from workbench.latent.mixture import EmbeddingTable, Mixture
from workbench.latent.phase import PhaseMachine
from workbench.model.policy import Choice, Host, Sampling, Step, draw
from workbench.model.sites import Kind, Site
from workbench.model.spec import ModelSpec
from workbench.model.tokens import Tokens

NORM = Site(Kind.FINAL_NORM, positions=(-1,))


@dataclass(frozen=True, kw_only=True, eq=False)
class StepRecord:
    """One step of every row: what was drawn, and what was fed after it.

    `latent` marks rows that were fed `vector` (float32, kept if asked for) in place of their
    token, `thinking` those that were not yet answering. `logprob` and `entropy` are those of
    the distribution after temperature, in nats. `mixture` keeps its heaviest tokens.
    """

    tokens: Int[Tensor, " batch"]
    live: Bool[Tensor, " batch"]
    thinking: Bool[Tensor, " batch"]
    latent: Bool[Tensor, " batch"]
    logprob: Float[Tensor, " batch"]
    entropy: Float[Tensor, " batch"]
    mixture: Mixture | None = None
    vector: Float[Tensor, "batch d_model"] | None = None


@dataclass(frozen=True, kw_only=True)
class ColdStop:
    """End the thinking of a row whose entropy stays below a bound for so many steps."""

    below: float = 0.01
    steps: int = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentThinking:
    """Feed latent inputs until a row has written the delimiter, then its tokens.

    The token that completes the delimiter, and every later one, is fed as it is. `greedy` takes
    the likeliest token, while `sampling.temperature` still shapes the mixtures; `answer` draws
    the answer in another way. `closing` are the tokens that end the thinking when the cold stop
    or `close_at` (a step counted from 0) says so; they are fed as they are. `script` fixes the
    first tokens of every row. `keep` tokens of each mixture are recorded (0: no record), `vectors`
    records what was fed.

    Source: Yue et al. 2025, arXiv:2505.18454, section 3, for any latent input.
    """

    inputs: LatentInput = field(default_factory=TokenInput)
    sampling: Sampling = field(default_factory=Sampling)
    greedy: bool = False
    answer: Sampling | None = None
    delimiter: str = ""
    closing: tuple[int, ...] = ()
    cold: ColdStop | None = None
    close_at: int | None = None
    script: Sequence[Sequence[int]] = ()
    keep: int = 0
    vectors: bool = False

    def __post_init__(self) -> None:
        """Refuse an early end of thinking without the tokens that end it."""
        if not self.closing and (self.cold is not None or self.close_at is not None):
            raise BadOption("thinking is to be ended early, and no closing tokens are given")

    def sites(self, spec: ModelSpec) -> tuple[Site, ...]:
        """Read the newest state where the latent input is made of it."""
        return (NORM,) if self.inputs.needs_hidden else ()

    def begin(self, prompt: Tokens, model: Host) -> "Thinker":
        """Start with every row thinking."""
        return Thinker(self, len(prompt.ids), model)


class Thinker:
    """The state of one generation: phases, cold steps and tokens that are due."""

    def __init__(self, policy: LatentThinking, n_rows: int, model: Host) -> None:
        """Start with every row thinking."""
        self._policy = policy
        self._table = EmbeddingTable(model)
        self._phase = PhaseMachine(model.decode, n_rows, policy.delimiter)
        self._due: list[list[int]] = [[] for _ in range(n_rows)]
        self._cold = [0] * n_rows

    def choose(self, step: Step) -> Choice:
        """Choose every row's token and what it is fed."""
        policy = self._policy
        p = policy.sampling.distribution(step.logits)
        before = torch.tensor(self._phase.thinking, device=p.device)
        now = self._moment(step, p, before)
        tokens, closing = self._forced(step, self._tokens(step, now), p)
        self._phase.see(tokens.tolist(), step.live)
        thinking = torch.tensor(self._phase.thinking, device=p.device)
        fed = thinking & ~closing
        found = policy.inputs.next_input(_with_tokens(now, tokens)) if bool(fed.any()) else None
        record = None
        if policy.keep:
            record = self._record(step, now, tokens, (thinking, fed, found))
        if found is None:
            return Choice(tokens=tokens, record=record)
        return Choice(tokens=tokens, embeds=found.vector, fed=fed, record=record)

    def _moment(self, step: Step, p: Tensor, thinking: Tensor) -> Moment:
        inputs = self._policy.inputs
        return Moment(
            index=step.index,
            logits=step.logits,
            p=p,
            tokens=p.argmax(dim=-1),
            table=self._table,
            thinking=thinking,
            hidden=step.captured[NORM][:, -1] if inputs.needs_hidden else None,
            noise=_gumbel(step, p) if inputs.needs_noise else None,
        )

    def _tokens(self, step: Step, now: Moment) -> Tensor:
        policy = self._policy
        shown = policy.inputs.visible(now)
        if shown is None:
            shown = now.tokens if policy.greedy else draw(now.p, step.generators, step.live)
        if policy.answer is None or bool(now.thinking.all()):
            return shown
        return torch.where(now.thinking, shown, policy.answer.choose(step).tokens)

    def _forced(self, step: Step, tokens: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Put in tokens that are due; return them all, and where a closing token stands."""
        policy = self._policy
        self._find_due(step, p)
        given = tokens.tolist()
        closing = [False] * len(given)
        for i, due in enumerate(self._due):
            if step.index < len(policy.script[i] if policy.script else ()):
                given[i] = policy.script[i][step.index]
            elif due:
                given[i], closing[i] = due.pop(0), True
        return torch.tensor(given, device=tokens.device), torch.tensor(closing, device=p.device)

    def _find_due(self, step: Step, p: Tensor) -> None:
        policy = self._policy
        if policy.cold is not None:
            cold = (entropy(p) < policy.cold.below).tolist()
            self._cold = [
                n + 1 if is_cold else 0 for n, is_cold in zip(self._cold, cold, strict=True)
            ]
        for i, thinking in enumerate(self._phase.thinking):
            is_cold = policy.cold is not None and self._cold[i] >= policy.cold.steps
            if thinking and not self._due[i] and (is_cold or step.index == policy.close_at):
                self._due[i] = list(policy.closing)

    def _record(
        self,
        step: Step,
        now: Moment,
        tokens: Tensor,
        fed: tuple[Tensor, Tensor, LatentVector | None],
    ) -> StepRecord:
        thinking, latent, found = fed
        mixture = Mixture(weights=now.p) if found is None else found.mixture
        return StepRecord(
            tokens=tokens,
            live=torch.tensor(step.live, device=tokens.device),
            thinking=thinking,
            latent=latent if found is not None else torch.zeros_like(latent),
            logprob=_logprob(step.logits, self._policy.sampling.temperature, tokens),
            entropy=entropy(now.p),
            mixture=None if mixture is None else mixture.few(self._policy.keep),
            vector=found.vector if found is not None and self._policy.vectors else None,
        )


def _with_tokens(now: Moment, tokens: Tensor) -> Moment:
    return Moment(**{**vars(now), "tokens": tokens})


def _logprob(logits: Tensor, temperature: float, tokens: Tensor) -> Tensor:
    scaled = logits.float() / (temperature or 1.0)
    return scaled.gather(-1, tokens[:, None])[:, 0] - scaled.logsumexp(dim=-1)


def _gumbel(step: Step, p: Tensor) -> Tensor:
    noise = torch.zeros_like(p)
    for i, generator in enumerate(step.generators):
        if step.live[i]:
            noise[i] = torch.rand(p.shape[-1], generator=generator, device=generator.device)
    # Half a step of the generator's grid keeps both logarithms finite.
    return -torch.log(-torch.log(noise.clamp(2.0**-25, 1 - 2.0**-24)))
