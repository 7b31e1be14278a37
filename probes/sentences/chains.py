"""Chains of sentence vectors: run on, with a state exchanged, and read at every block."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.training.lines import block
from workbench.training.network import put
from workbench.training.sentence_model import SentenceModel

MOST_STEPS = 24
_STOP = 0.5
Exchanged = Mapping[int, tuple[int, Float[Tensor, " d_model"]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Thought:
    """The vectors of one chain, step by step, and the sentences the decoder writes from them."""

    vectors: Float[Tensor, "step d_model"]
    sentences: tuple[str, ...]

    @property
    def answer(self) -> str:
        """The last sentence."""
        return self.sentences[-1]


@torch.no_grad()
def think(
    trained: SentenceModel,
    questions: Sequence[str],
    *,
    steps: int,
    limit: int,
    exchanged: Exchanged | None = None,
) -> list[Thought]:
    """Return the chain of every question, at most `steps` vectors, ended by the stop head.

    `exchanged` puts another vector in the place of the one that step (counted from 0) of a row
    would have given; the chain goes on from there. Putting a row's own vector there changes
    nothing.
    """
    latent, lines = trained.latent, trained.codec.lines
    run, found = latent.start([lines.question(q) for q in questions])
    kept: list[list[Tensor]] = [[] for _ in questions]
    live = set(range(len(questions)))
    for step in range(steps):
        for row, (at, vector) in (exchanged or {}).items():
            if at == step:
                found[row] = vector.to(found)
        for row in live:
            kept[row].append(found[row].clone())
        stops = latent.heads.stop_logit(found).sigmoid()
        live -= {row for row in live if float(stops[row]) >= _STOP}
        if not live or step + 1 == steps:
            break
        # Rows that have ended run on unread: the batch keeps its shape, and so its numbers.
        found = run.append(latent.heads.shared(found)[:, None])
    vectors = [torch.stack(rows) for rows in kept]
    written = trained.codec.decode(latent.heads.p_out(torch.cat(vectors)), limit=limit)
    texts = [one.text for one in written]
    thoughts, start = [], 0
    for rows in vectors:
        sentences = tuple(texts[start : start + len(rows)])
        thoughts.append(Thought(vectors=rows, sentences=sentences))
        start += len(rows)
    return thoughts


@torch.no_grad()
def block_states(
    trained: SentenceModel, question: str, thought: Thought
) -> Float[Tensor, "step layer d_model"]:
    """Return the output of every block at every step, from one pass; the last one is normed."""
    latent, ids = trained.latent, trained.codec.lines.question(question)
    fed = latent.heads.shared(thought.vectors[:-1])
    tokens, mask = block([[*ids, *[ids[-1]] * len(fed)]], 0)
    places = [(0, len(ids) + t) for t in range(len(fed))]
    embeds = put(latent.network.embed(tokens), places, fed)
    layers = latent.network.layers(embeds, mask.to(embeds.device))[1:]
    return torch.stack([h[0, len(ids) - 1 :] for h in layers], dim=1).float()
