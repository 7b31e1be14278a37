"""How well a codec brings sentences back: exact match, by family and by length, with controls."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.methods.contracts import Context
from workbench.training.codec import Decoded
from workbench.training.lora_codec import LoraCodec, by_length
from workbench.training.pooled_codec import PooledCodec

Codec = LoraCodec | PooledCodec
_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """One held-out sentence, what was written from its vector and from two controls.

    `random` was written from a random direction, `other` from the vector of another sentence.
    Overlaps are shares of tokens in common (F1); log-probabilities are means over the tokens
    written, in nats.
    """

    family: str
    sentence: str
    n_tokens: int
    written: str
    is_exact: bool
    overlap: float
    logprob: float
    random: str
    random_is_exact: bool
    random_overlap: float
    random_logprob: float
    other_overlap: float


def evaluate(
    codec: Codec, families: Mapping[str, Sequence[str]], limit: int, context: Context
) -> list[Evaluated]:
    """Encode and decode up to `limit` sentences of every family."""
    draw = context.stream("judged sentences")
    chosen: list[tuple[str, str]] = []
    for name, sentences in families.items():
        order = draw.permutation(len(sentences))[:limit]
        chosen += [(name, sentences[i]) for i in sorted(order)]
    told = "passes over held-out sentences"
    context.progress(0, _STEPS, told)
    vectors = codec.encode([sentence for _, sentence in chosen])
    noise = as_long(torch.from_numpy(draw.standard_normal(tuple(vectors.shape))), vectors)
    rows = codec.ids.of([sentence for _, sentence in chosen])
    context.progress(1, _STEPS, told)
    written = decode_alike(codec, vectors, [len(row) for row in rows])
    context.progress(2, _STEPS, told)
    random = decode_alike(codec, noise, [len(row) for row in rows])
    context.progress(_STEPS, _STEPS, told)
    return [
        _evaluated(chosen[i], rows[i], (written[i], random[i], written[i - 1]))
        for i in range(len(chosen))
    ]


def decode_alike(
    codec: Codec, vectors: Float[Tensor, "n d_model"], lengths: Sequence[int]
) -> list[Decoded]:
    """Decode vectors of sentences of known length; like lengths share a batch.

    A sentence may come out two tokens longer than it should be, no more.
    """
    found: dict[int, Decoded] = {}
    for some in by_length(lengths, 256 * max(lengths)):
        limit = max(lengths[i] for i in some) + 2
        found |= dict(zip(some, codec.decode(vectors[some], limit=limit), strict=True))
    return [found[i] for i in range(len(lengths))]


def as_long(noise: Float[Tensor, "n d_model"], vectors: Float[Tensor, "n d_model"]) -> Tensor:
    """Return random vectors at the length of others, row by row."""
    unit = torch.nn.functional.normalize(noise.float().to(vectors.device), dim=-1)
    found: Tensor = unit * vectors.norm(dim=-1, keepdim=True)
    return found


def overlap(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the F1 of two bags of tokens: 1 for the same ones, 0 for none in common."""
    if not one or not other:
        return float(not one and not other)
    common = sum((Counter(one) & Counter(other)).values())
    return 2 * common / (len(one) + len(other))


def _evaluated(
    chosen: tuple[str, str], row: Sequence[int], written: tuple[Decoded, Decoded, Decoded]
) -> Evaluated:
    ids, stop = list(row[:-1]), row[-1]
    mine, random, _ = written
    got, odd, strange = (_bare(one.ids, stop) for one in written)
    return Evaluated(
        family=chosen[0],
        sentence=chosen[1],
        n_tokens=len(ids),
        written=mine.text,
        is_exact=got == ids,
        overlap=overlap(got, ids),
        logprob=mine.logprob,
        random=random.text,
        random_is_exact=odd == ids,
        random_overlap=overlap(odd, ids),
        random_logprob=random.logprob,
        other_overlap=overlap(strange, ids),
    )


def _bare(ids: Sequence[int], stop: int) -> list[int]:
    """Return written ids without the end; without it the sentence went on, and shows it."""
    return list(ids[:-1]) if ids and ids[-1] == stop else list(ids)
