"""What a state says about the next token, a bounded number of positions at a time."""

from collections.abc import Callable
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
    unembed, rows = _head(context)
    goal = following.reshape(-1).to(states.device)
    found = [
        _read(unembed(h, normed=normed).float(), goal[start : start + len(h)])
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


def losses(
    states: Float[Tensor, "batch pos d_model"],
    following: Int[Tensor, "batch pos"],
    context: Context,
    *,
    normed: bool,
) -> Float[Tensor, "batch pos"]:
    """Return −ln p of the token that follows, in nats, and NaN where `following` is −1.

    Only positions that a token follows are read.

    Raises:
        InputError: there is no output head.
    """
    unembed, rows = _head(context)
    goal = following.to(states.device)
    asked = goal >= 0
    wanted, found = goal[asked], torch.full(goal.shape, torch.nan, device=states.device)
    nll = [
        _nll(unembed(h, normed=normed).float(), wanted[start : start + rows])
        for start, h in _parts(states[asked], rows)
    ]
    if nll:
        found[asked] = torch.cat(nll).to(found)
    return found


def compare(
    states: Float[Tensor, "batch pos d_model"],
    others: Float[Tensor, "batch pos d_model"],
    context: Context,
    *,
    normed: bool = True,
) -> tuple[Float[Tensor, "batch pos"], Float[Tensor, "batch pos"]]:
    """Return KL(p‖q) in nats between the predictions of two states, and 1 where both agree.

    Raises:
        InputError: there is no output head.
    """
    unembed, rows = _head(context)
    p_states, q_states = states.flatten(0, 1), others.flatten(0, 1)
    kl, same = [], []
    for start, h in _parts(p_states, rows):
        p = torch.log_softmax(unembed(h, normed=normed).float(), dim=-1)
        other = unembed(q_states[start : start + rows], normed=normed)
        q = torch.log_softmax(other.float().to(p.device), dim=-1)
        kl.append((p.exp() * (p - q).nan_to_num(posinf=0.0)).sum(dim=-1).clamp(min=0))
        same.append((p.argmax(dim=-1) == q.argmax(dim=-1)).to(p.dtype))
    shape = states.shape[:2]
    return torch.cat(kl).view(shape), torch.cat(same).view(shape)


def overlaps(
    states: Float[Tensor, "batch pos d_model"],
    others: Float[Tensor, "n batch pos d_other"],
    order: Int[Tensor, "batch pos"],
    context: Context,
    unembed_other: Callable[..., Tensor] | None = None,
) -> tuple[Float[Tensor, "n batch pos"], Float[Tensor, "n batch pos"]]:
    """Return Σ min(p, q) of two states' predictions, and the same with p of another position.

    States are those of the residual stream. `order` is the column of that other position;
    `unembed_other` is the output head of another model with the same vocabulary.

    Raises:
        InputError: there is no output head.
    """
    unembed, rows = _head(context)
    moved = states.gather(1, order[..., None].to(states.device).expand(states.shape))
    flat, elsewhere = others.flatten(1, 2), moved.flatten(0, 1)
    found: list[Tensor] = []
    for start, h in _parts(states.flatten(0, 1), rows):
        both = torch.stack([h, elsewhere[start : start + rows]])
        p = unembed(both).float().softmax(dim=-1)
        each = []
        for x in flat[:, start : start + rows]:
            q = (unembed_other or unembed)(x).float().softmax(dim=-1).to(p.device)
            each.append(torch.minimum(p, q).sum(dim=-1).clamp(max=1))
        found.append(torch.stack(each))
    kept, by_chance = torch.cat(found, dim=2).unbind(dim=1)
    shape = others.shape[:3]
    return kept.reshape(shape), by_chance.reshape(shape)


def probabilities(
    states: Float[Tensor, "batch pos d_model"],
    goals: Int[Tensor, "batch pos *goal"],
    context: Context,
) -> Float[Tensor, "batch pos *goal"]:
    """Return what residual-stream states give to some tokens each; 0 for a goal below 0.

    Raises:
        InputError: there is no output head.
    """
    unembed, rows = _head(context)
    wanted = goals.flatten(0, 1).flatten(1).to(states.device)
    found = [
        unembed(h).float().softmax(dim=-1).gather(1, wanted[start : start + rows].clamp(min=0))
        for start, h in _parts(states.flatten(0, 1), rows)
    ]
    return torch.cat(found).masked_fill(wanted < 0, 0.0).view(goals.shape)


def top_tokens(states: Float[Tensor, "*shape d_model"], context: Context) -> Int[Tensor, "*shape"]:
    """Return the token that each residual-stream state ranks first, through the final norm.

    Raises:
        InputError: there is no output head.
    """
    unembed, rows = _head(context)
    flat = states.reshape(-1, states.shape[-1])
    best = [unembed(h).argmax(dim=-1) for _, h in _parts(flat, rows)]
    return torch.cat(best).view(states.shape[:-1])


def following_tokens(ids: Int[Tensor, "batch pos"], mask: Tensor) -> Int[Tensor, "batch pos"]:
    """Return the token after each position, −1 where the text ends and on the padding."""
    after = torch.full_like(ids, -1)
    is_next = mask[:, :-1] & mask[:, 1:]
    after[:, :-1] = torch.where(is_next, ids[:, 1:], after[:, :-1])
    return after


def _head(context: Context) -> tuple[Callable[..., Tensor], int]:
    """Return the output head and how many states go through it at once."""
    if context.spec is None or context.unembed is None:
        raise InputError("this probe needs a model", hint="activation files have no output head")
    return context.unembed, max(1, _BUDGET // (_ALIVE * context.spec.d_vocab))


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


def _nll(logits: Float[Tensor, "n d_vocab"], goal: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return -torch.log_softmax(logits, dim=-1).gather(1, goal.to(logits.device)[:, None])[:, 0]
