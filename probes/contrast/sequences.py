"""Prompts with responses as batches whose common beginning is run once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from workbench.errors import ModelError
from workbench.model.backend import Inputs
from workbench.model.caches import new_cache, repeat_cache
from workbench.model.company import shares_beginning
from workbench.model.finite import see_states
from workbench.model.model import Model
from workbench.model.prefix import Prefix
from workbench.model.tokens import Tokens, pad


@dataclass(frozen=True, kw_only=True)
class Row:
    """A prompt and a response to it, as token ids."""

    prompt: tuple[int, ...]
    response: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Responses:
    """The responses of a batch, padded on the right."""

    ids: Int[Tensor, "batch pos"]
    mask: Bool[Tensor, "batch pos"]

    @classmethod
    def of(cls, rows: Sequence[Row], device: torch.device) -> "Responses":
        """Pad the responses of those rows."""
        tokens = pad([row.response for row in rows]).to(device)
        return cls(ids=tokens.ids, mask=tokens.mask)

    def pick(self, logprobs: Float[Tensor, "batch pos d_vocab"]) -> Float[Tensor, "batch pos"]:
        """Return the entry of every response token, zero on padding."""
        return logprobs.gather(-1, self.ids[..., None])[..., 0] * self.mask


def response_logits(model: Model, rows: Sequence[Row]) -> Float[Tensor, "batch pos d_vocab"]:
    """Return the logits that every response token is drawn from; gradients flow.

    The tokens that all prompts begin with are run once and shared by the rows.
    """
    prompts = [row.prompt for row in rows]
    lengths = [len(row.prompt) + len(row.response) for row in rows]
    if not shares_beginning(model, lengths):
        alone = [_logits(model, [row], 0)[0] for row in rows]
        return pad_sequence(alone, batch_first=True)
    return _logits(model, rows, common_length(prompts))


def _logits(model: Model, rows: Sequence[Row], n: int) -> Tensor:
    """Run rows side by side, the first n tokens of their prompts once."""
    module: Any = model.backend.module
    if model.switch is not None:
        model.switch.forget()
    prompts = [row.prompt for row in rows]
    head = torch.tensor([prompts[0][:n]], device=model.device)
    left = pad([p[n:] for p in prompts], side="left")
    right = pad([row.response for row in rows])
    # The last response token predicts nothing that is asked for.
    ids = torch.cat([left.ids, right.ids[:, :-1]], dim=1).to(model.device)
    mask = torch.cat([left.mask, right.mask[:, :-1]], dim=1).to(model.device)
    whole = torch.cat([mask.new_ones(len(rows), n), mask], dim=1)
    cache = None
    if n:
        cache = new_cache(module)
        module(input_ids=head, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = repeat_cache(cache, len(rows), 1)
    logits: Tensor = module(
        input_ids=ids,
        attention_mask=whole.long(),
        position_ids=(whole.long().cumsum(dim=1) - 1).clamp(min=0)[:, n:],
        past_key_values=cache,
        use_cache=cache is not None,
        logits_to_keep=right.ids.shape[1],
    ).logits
    see_states(logits, model=model.spec.name, real=right.mask)
    return logits.float()


def token_logprobs(model: Model, rows: Sequence[Row]) -> Float[Tensor, "batch pos"]:
    """Return the log-probability of every response token in nats, zero on padding."""
    logprobs = response_logits(model, rows).log_softmax(dim=-1)
    return Responses.of(rows, logprobs.device).pick(logprobs)


def shared_prefill(model: Model, prompts: Sequence[Sequence[int]]) -> Prefix:
    """Run prompts once to be continued, their common beginning only once for all.

    Raises:
        ModelError: the backend returned no logits.
    """
    n = common_length(prompts)
    if not n or not shares_beginning(model, [len(prompt) for prompt in prompts]):
        return model.prefill(pad(prompts, side="left"))
    cache = new_cache(model.backend.module)
    head = torch.tensor([list(prompts[0][:n])], device=model.device)
    ones = torch.ones_like(head, dtype=torch.bool)
    at = torch.arange(n, device=model.device)[None]
    model.forward(Inputs(ids=head, mask=ones, position_ids=at, cache=cache), logits="none")
    cache = repeat_cache(cache, len(prompts), 1)
    tail = pad([p[n:] for p in prompts], side="left").to(model.device)
    tokens = Tokens(
        ids=torch.cat([head.expand(len(prompts), -1), tail.ids], dim=1),
        mask=torch.cat([ones.expand(len(prompts), -1), tail.mask], dim=1),
    )
    inputs = Inputs(
        ids=tail.ids, mask=tokens.mask, position_ids=tokens.position_ids[:, n:], cache=cache
    )
    logits = model.forward(inputs, logits="last").logits
    if logits is None:
        raise ModelError("the backend returned no logits for the prompt")
    return Prefix(tokens=tokens, cache=cache, logits=logits[:, -1], captured={})


def common_length(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all prompts begin with, at least one being left to each."""
    shortest = min(len(p) for p in prompts) - 1
    for i in range(shortest):
        if any(p[i] != prompts[0][i] for p in prompts):
            return i
    return shortest
