"""Finished rollouts run again in one pass, with gradients into the weights and the gate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.latent.gate import Gate
from workbench.latent.mixture import EmbeddingTable, Mixture
from workbench.latent.thinking import StepRecord
from workbench.model.tokens import pad
from workbench.model.trace import Trace


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentRollout:
    """One response with what was fed after each of its tokens.

    `latent[t]` says that the t-th token was followed by a gated mixture of `ids[t]` with
    `weights[t]`; the others by the token itself.
    """

    prompt: tuple[int, ...]
    response: tuple[int, ...]
    stopped: bool
    latent: Bool[Tensor, " step"]
    ids: Int[Tensor, "step k"]
    weights: Float[Tensor, "step k"]


def rollouts_of(trace: Trace) -> list[LatentRollout]:
    """Return the rows of a generation by a policy that kept its mixtures, on the CPU."""
    records: Sequence[StepRecord] = trace.records
    latent = torch.stack([record.latent for record in records], dim=1).cpu()
    parts = [_mixture(record) for record in records]
    ids = torch.stack([part[0] for part in parts], dim=1).cpu()
    weights = torch.stack([part[1] for part in parts], dim=1).cpu()
    width = trace.tokens.ids.shape[1] - max(len(records) - 1, 0)
    prompts = trace.tokens.ids[:, :width], trace.tokens.mask[:, :width]
    return [
        LatentRollout(
            prompt=tuple(int(t) for t in prompts[0][i][prompts[1][i]]),
            response=response,
            stopped=trace.ended[i] == "stop",
            latent=latent[i, : len(response)],
            ids=ids[i, : len(response)],
            weights=weights[i, : len(response)],
        )
        for i, response in enumerate(trace.generated)
    ]


def _mixture(record: StepRecord) -> tuple[Tensor, Tensor]:
    mixture = record.mixture
    if mixture is None or mixture.ids is None:
        only = record.tokens[:, None]
        return only, torch.ones_like(only, dtype=torch.float32)
    return mixture.ids, mixture.weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Rollouts side by side: prompts padded on the left, responses on the right.

    `mask` covers all that is fed, `valid` the response tokens; the last token is never fed.
    """

    prompt: Int[Tensor, "batch prompt"]
    response: Int[Tensor, "batch step"]
    mask: Bool[Tensor, "batch fed"]
    valid: Bool[Tensor, "batch step"]
    latent: Bool[Tensor, "batch step"]
    ids: Int[Tensor, "batch step k"]
    weights: Float[Tensor, "batch step k"]

    @classmethod
    def of(cls, rollouts: Sequence[LatentRollout], device: torch.device) -> "Batch":
        """Lay rollouts out on a device."""
        prompts = pad([r.prompt for r in rollouts], side="left")
        responses = pad([r.response for r in rollouts])
        steps = responses.ids.shape[1]
        mask = torch.cat([prompts.mask, responses.mask[:, 1:]], dim=1)
        return cls(
            prompt=prompts.ids.to(device),
            response=responses.ids.to(device),
            mask=mask.to(device),
            valid=responses.mask.to(device),
            latent=torch.stack([_longer(r.latent, steps) for r in rollouts]).to(device),
            ids=torch.stack([_longer(r.ids, steps) for r in rollouts]).to(device),
            weights=torch.stack([_longer(r.weights, steps) for r in rollouts]).to(device),
        )


def _longer(x: Tensor, steps: int) -> Tensor:
    return torch.cat([x, x.new_zeros((steps - len(x), *x.shape[1:]))])


def fed_vectors(
    module: Any, table: EmbeddingTable, gate: Gate | None, batch: Batch
) -> Float[Tensor, "batch fed d_model"]:
    """Return what is fed: prompts as they are, then tokens, or gated mixtures where they were.

    Gradients reach the gate and the embedding of the tokens; the mixtures are constants.
    """
    embed = module.get_input_embeddings()
    tokens = embed(batch.response[:, :-1])
    if gate is not None:
        mixture = Mixture(weights=batch.weights[:, :-1], ids=batch.ids[:, :-1])
        with torch.no_grad():
            h = table.spread(mixture)
        mixed = gate.opening(tokens).mix(tokens, h).to(tokens.dtype)
        tokens = torch.where(batch.latent[:, :-1, None], mixed, tokens)
    return torch.cat([embed(batch.prompt), tokens], dim=1)


def replayed_logits(
    module: Any, vectors: Float[Tensor, "batch fed d_model"], batch: Batch
) -> Float[Tensor, "batch step d_vocab"]:
    """Return the logits that every response token is chosen from, in float32.

    The mask covers the padding and positions count real tokens only, as in the generation.
    """
    positions = (batch.mask.long().cumsum(dim=1) - 1).clamp(min=0)
    logits: Tensor = module(
        inputs_embeds=vectors,
        attention_mask=batch.mask.long(),
        position_ids=positions,
        use_cache=False,
        logits_to_keep=batch.response.shape[1],
    ).logits
    return logits.float()


def token_logprobs(
    logits: Float[Tensor, "batch step d_vocab"], batch: Batch, temperature: float
) -> Float[Tensor, "batch step"]:
    """Return ln π(y) at a temperature for each response token, 0 where there is none."""
    scaled = logits / temperature
    chosen = scaled.gather(-1, batch.response[..., None])[..., 0]
    return (chosen - scaled.logsumexp(dim=-1)).masked_fill(~batch.valid, 0.0)
