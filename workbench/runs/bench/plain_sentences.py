"""Reasoning in sentence vectors as it was published: one problem at a time, nothing kept."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.training.lines import block
from workbench.training.sentence_model import SentenceModel


@torch.no_grad()
def plain_answer(trained: SentenceModel, question: str, *, ground: bool, limit: int = 24) -> str:
    """Reason about one question without a cache; return the answer sentence.

    The latent network sees the question and all vectors again at every step, and the decoder
    all tokens again for every token. `ground` writes every sentence, and encodes the question
    and the sentences so far again: the discretized way.

    Source: section 4 of arXiv:2505.22202. Shared with ours are the stop head and the
    normalisation of what is fed, so that the same chains come out.
    """
    latent, lines = trained.latent, trained.codec.lines
    asked, said = lines.question(question), list[list[int]]()
    fed = torch.zeros(0, trained.codec.d_model, device=latent.network.device)
    for step in range(1, limit + 1):
        h = latent.forward([asked], [fed])[0][-1]
        is_last = float(latent.heads.stop_logit(h).sigmoid()) >= 0.5 or step == limit
        if ground or is_last:
            said.append(_written(trained, latent.heads.p_out(h)))
        if is_last:
            break
        new = latent.heads.p_in(_read(trained, asked, said)) if ground else h
        fed = torch.cat([fed, latent.heads.shared(new)[None]])
    return lines.text(said[-1])


def _written(
    trained: SentenceModel, vector: Float[Tensor, " d_model"], limit: int = 50
) -> list[int]:
    """Write a sentence greedily, all of it run again for every token."""
    network, lines = trained.codec.network, trained.codec.lines
    ids: list[int] = []
    while len(ids) < limit:
        embeds = vector[None, None]
        if ids:
            embeds = torch.cat([embeds, network.embed(torch.tensor([ids]))], dim=1)
        token = int(network.logits(_states(trained, embeds)[:, -1]).argmax())
        ids.append(token)
        if token in (lines.newline, lines.end):
            break
    return lines.closed(ids)


def _read(
    trained: SentenceModel, asked: Sequence[int], said: Sequence[Sequence[int]]
) -> Float[Tensor, " d_model"]:
    """Encode the newest sentence: alone, or as the state before it, all of the text run again."""
    before = [*asked, *(i for ids in said[:-1] for i in ids)]
    ids, _ = block([said[-1] if trained.codec.space == "semantic" else before], 0)
    return _states(trained, trained.codec.network.embed(ids))[0, -1]


def _states(
    trained: SentenceModel, embeds: Float[Tensor, "1 pos d_model"]
) -> Float[Tensor, "1 pos d_model"]:
    mask = torch.ones(embeds.shape[:2], dtype=torch.bool, device=embeds.device)
    return trained.codec.network.states(embeds, mask)
