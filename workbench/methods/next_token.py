"""What a state says about the next token, a bounded number of positions at a time."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import InputError
from workbench.methods.contracts import Context

_BUDGET = 24 << 20  # numbers in all tensors over the vocabulary
_ALIVE = 3  # such tensors at once


@dataclass(frozen=True, kw_only=True, eq=False)
class NextToken:
    """At each position: entropy in nats, the likeliest token and its probability.

    `nll` is −ln p of the token that does follow, in nats; NaN at the last of each text.
    """

    entropy: Float[Tensor, "batch pos"]
    nll: Float[Tensor, "batch pos"]
    best: Int[Tensor, "batch pos"]
    best_probability: Float[Tensor, "batch pos"]


def next_token(
    states: Float[Tensor, "batch pos d_model"],
    following: Int[Tensor, "batch pos"],
    context: Context,
    *,
    normed: bool,
) -> NextToken:
    """Read states as distributions over the next token; `following` is −1 where none follows.

    Raises:
        InputError: there is no output head.
    """
    if context.spec is None or context.unembed is None:
        raise InputError("this probe needs a model", hint="activation files have no output head")
    rows = max(1, _BUDGET // (_ALIVE * context.spec.d_vocab))
    goal = following.reshape(-1).to(states.device)
    found = [
        _read(context.unembed(h, normed=normed).float(), goal[start : start + len(h)])
        for start, h in _parts(states.flatten(0, 1), rows)
    ]
    joined = [torch.cat(parts).view(following.shape) for parts in zip(*found, strict=True)]
    entropy, nll, best, probability = joined
    return NextToken(
        entropy=entropy,
        nll=nll.masked_fill(following.to(nll.device) < 0, torch.nan),
        best=best,
        best_probability=probability,
    )


def following_tokens(ids: Int[Tensor, "batch pos"], mask: Tensor) -> Int[Tensor, "batch pos"]:
    """Return the token after each position, −1 where the text ends and on the padding."""
    after = torch.full_like(ids, -1)
    is_next = mask[:, :-1] & mask[:, 1:]
    after[:, :-1] = torch.where(is_next, ids[:, 1:], after[:, :-1])
    return after


def _parts(h: Float[Tensor, "n d_model"], rows: int) -> list[tuple[int, Float[Tensor, "n d"]]]:
    return [(start, h[start : start + rows]) for start in range(0, len(h), rows)]


def _read(
    logits: Float[Tensor, "n d_vocab"], goal: Int[Tensor, " n"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logp = torch.log_softmax(logits, dim=-1)
    best = logp.max(dim=-1)
    nll = -logp.gather(1, goal.clamp(min=0)[:, None])[:, 0]
    entropy = -(logp.exp() * logp.nan_to_num(neginf=0.0)).sum(dim=-1)
    return entropy, nll, best.indices, best.values.exp()
