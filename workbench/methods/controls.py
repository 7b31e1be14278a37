"""Null controls keyed by seed and text, so that neither batches nor order move a number."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.methods.contracts import Context
from workbench.model.tokens import Tokens
from workbench.result.metric import Control

UNIFORM_ATTENTION = {
    "uniform": Control("uniform attention", "uniform attention over all that a query sees")
}


def text_key(ids: Sequence[int]) -> str:
    """Return the hash of a text's tokens, as hexadecimal digits."""
    return hashlib.sha256(np.array(ids, dtype=np.int64).tobytes()).hexdigest()


def draws(tokens: Tokens, context: Context, name: str) -> list[np.random.Generator]:
    """Return a generator for every text, which depends on the seed, the name and its tokens."""
    keys = (text_key(tokens.row(i)) for i in range(len(tokens.ids)))
    return [context.stream(f"{name} {key[:16]}") for key in keys]


def random_like(
    states: Float[Tensor, "batch pos *shape d_model"], tokens: Tokens, context: Context, name: str
) -> Float[Tensor, "batch pos *shape d_model"]:
    """Return random directions as long as the states of the batch, zero on the padding."""
    noise = torch.zeros(states.shape)
    columns = [tokens.mask[i].cpu().nonzero()[:, 0] for i in range(len(tokens.ids))]
    for i, draw in enumerate(draws(tokens, context, name)):
        shape = (len(columns[i]), *states.shape[2:])
        drawn = torch.from_numpy(draw.standard_normal(shape, dtype=np.float32))
        noise[i, columns[i]] = drawn / drawn.norm(dim=-1, keepdim=True)
    length = states.float().norm(dim=-1, keepdim=True)
    found: Tensor = (noise.to(states.device) * length).to(states.dtype)
    return found


def shuffled_order(tokens: Tokens, context: Context, name: str) -> Int[Tensor, "batch pos"]:
    """Return the columns of each text in random order, the first token left in its place."""
    order = torch.arange(tokens.ids.shape[1]).repeat(len(tokens.ids), 1)
    for i, draw in enumerate(draws(tokens, context, name)):
        columns = tokens.mask[i].cpu().nonzero()[:, 0]
        drawn = np.concatenate([[0], 1 + draw.permutation(len(columns) - 1)]).astype(np.int64)
        order[i, columns] = columns[torch.from_numpy(drawn)]
    return order


def shuffled_tokens(tokens: Tokens, context: Context, name: str) -> Tokens:
    """Return each text's tokens in random order, the first one left in its place."""
    order = shuffled_order(tokens, context, name).to(tokens.ids.device)
    return replace(tokens, ids=tokens.ids.gather(1, order), texts=(), offsets=())


def other_positions(tokens: Tokens, context: Context, name: str) -> Int[Tensor, "batch pos"]:
    """Return for each position another one of the same text, as a column of the batch.

    The position itself stands where a text has no other, and on the padding.
    """
    found = torch.arange(tokens.ids.shape[1]).repeat(len(tokens.ids), 1)
    for i, draw in enumerate(draws(tokens, context, name)):
        columns = tokens.mask[i].cpu().nonzero()[:, 0].numpy()
        n = len(columns)
        if n > 1:
            elsewhere = (np.arange(n) + draw.integers(1, n, size=n)) % n
            found[i, columns] = torch.from_numpy(columns[elsewhere])
    return found
