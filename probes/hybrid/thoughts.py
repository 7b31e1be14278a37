"""One hybrid chain, and the same tokens run again with other inputs."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ModelError
from workbench.latent.mixture import EmbeddingTable, Mixture
from workbench.latent.thinking import LatentThinking, StepRecord
from workbench.model.generation import GenerationOptions
from workbench.model.model import Model
from workbench.model.sites import Kind, every_layer
from workbench.model.tokens import Tokens, pad


@dataclass(frozen=True, kw_only=True, eq=False)
class Thought:
    """A response with what was fed after each of its tokens.

    `fed[t]` is the input after token t and `token[t]` the embedding of that token, in float32;
    `latent[t]` tells where they differ. The last token is never fed.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    records: tuple[StepRecord, ...]
    fed: Float[Tensor, "step d_model"]
    token: Float[Tensor, "step d_model"]
    latent: tuple[bool, ...]

    @property
    def mixtures(self) -> list[Mixture | None]:
        """The mixture behind each token's input; None where a token was fed."""
        return [r.mixture if on else None for r, on in zip(self.records, self.latent, strict=True)]

    def with_random_deviations(self, generator: torch.Generator) -> Float[Tensor, "step d_model"]:
        """Return inputs as far from the tokens as those fed, in random directions: the control."""
        noise = torch.randn(self.fed.shape, generator=generator).to(self.fed)
        far: Tensor = (self.fed - self.token).norm(dim=-1, keepdim=True)
        length: Tensor = noise.norm(dim=-1, keepdim=True)
        return self.token + noise * (far / length)


@dataclass(frozen=True, kw_only=True, eq=False)
class Passed:
    """What the model computes over a response: log-probabilities of the next token, and states.

    `residual` is [layer, step, d_model] at the response's inputs; `attention` the share that each
    of them, averaged over heads and layers, gives to latent positions.
    """

    logprobs: Float[Tensor, "step d_vocab"]
    residual: Float[Tensor, "layer fed d_model"]
    attention: Float[Tensor, " fed"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a response ends: after so many tokens, or at one of these."""

    tokens: int
    stop_ids: tuple[int, ...]

    @property
    def options(self) -> GenerationOptions:
        """The same as the loop takes it."""
        return GenerationOptions(seeds=0, stop_ids=self.stop_ids)


def think_once(
    model: Model, table: EmbeddingTable, text: str, policy: LatentThinking, limits: Limits
) -> Thought:
    """Let the model think and answer after one text."""
    policy = replace(policy, vectors=True)
    trace = model.generate(text, policy=policy, limit=limits.tokens, options=limits.options)
    response = trace.generated[0]
    records: tuple[StepRecord, ...] = trace.records
    ids = torch.tensor(response, device=model.device)
    token = table.of(ids).float()
    latent = tuple(bool(r.latent[0]) for r in records)
    rows = [
        record.vector[0] if record.vector is not None and on else token[t]
        for t, (record, on) in enumerate(zip(records, latent, strict=True))
    ]
    return Thought(
        prompt=tuple(trace.tokens.row(0)[: trace.tokens.ids.shape[1] - len(response) + 1]),
        response=response,
        records=records,
        fed=torch.stack(rows),
        token=token,
        latent=latent,
    )


def run_again(
    model: Model, table: EmbeddingTable, thought: Thought, fed: Float[Tensor, "step d_model"]
) -> Passed:
    """Run prompt and response in one pass with those inputs after the tokens."""
    ids = (*thought.prompt, *thought.response[:-1])
    tokens: Tokens = pad([ids]).to(model.device)
    start = len(thought.prompt)
    embeds = table.of(tokens.ids).clone()
    embeds[0, start:] = fed[:-1].to(embeds)
    sites = every_layer(Kind.RESID_POST, model.spec)
    patterns = every_layer(Kind.ATTN_PATTERN, model.spec)
    trace = model.run(tokens, read=(*sites, *patterns), logits="all", embeds=embeds)
    if trace.logits is None:
        raise ModelError("the pass was asked for logits and returned none")
    latent = torch.tensor(thought.latent[:-1], device=model.device)
    share = torch.stack(
        [trace[site][0, :, start:, start:][..., latent].sum(-1) for site in patterns]
    )
    return Passed(
        logprobs=trace.logits[0, start - 1 :].float().log_softmax(dim=-1),
        residual=torch.stack([trace[site][0, start:].float() for site in sites]),
        attention=share.float().mean(dim=(0, 1)),
    )


def divergences(
    one: Passed, other: Passed
) -> tuple[Float[Tensor, " step"], Float[Tensor, " step"]]:
    """Return KL(one‖other) of the next token in nats, and whether the likeliest one differs."""
    kl = (one.logprobs.exp() * (one.logprobs - other.logprobs)).sum(dim=-1).clamp(min=0)
    flips = one.logprobs.argmax(dim=-1) != other.logprobs.argmax(dim=-1)
    return kl, flips.float()


def distances(one: Passed, other: Passed) -> Float[Tensor, "layer fed"]:
    """Return ‖a − b‖ / ‖b‖ of the residual stream at every layer and input."""
    gap: Tensor = (one.residual - other.residual).norm(dim=-1)
    length: Tensor = other.residual.norm(dim=-1)
    return gap / length.clamp(min=1e-12)
