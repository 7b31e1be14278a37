"""Tokens written after vectors: batched, cached, finished rows set aside."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.model.policy import GREEDY, Sampling, draw
from workbench.training.network import CachedRun, Network


@dataclass(frozen=True, kw_only=True)
class Written:
    """The ids of one row, the mean log-probability of them in nats, and whether it ended."""

    ids: tuple[int, ...]
    logprob: float
    stopped: bool


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How tokens are chosen: greedily, or from a policy with one generator per row."""

    policy: Sampling = GREEDY
    generators: Sequence[torch.Generator] = ()

    def choose(
        self, logits: Float[Tensor, "batch d_vocab"], rows: Sequence[int]
    ) -> Int[Tensor, " batch"]:
        """Return one token per row; `rows` says whose generators they draw from."""
        if self.policy.temperature == 0 or not self.generators:
            return logits.argmax(dim=-1)
        return draw(self.policy.distribution(logits), [self.generators[i] for i in rows])


GREEDILY = Drawing()


@torch.no_grad()
def write(
    network: Network,
    embeds: Float[Tensor, "batch pos d_model"],
    mask: Bool[Tensor, "batch pos"],
    *,
    stop: Sequence[int],
    limit: int,
    drawing: Drawing = GREEDILY,
) -> list[Written]:
    """Continue right-padded vectors with tokens until one of `stop`, at most `limit` of them.

    A row that has ended is not run again.
    """
    run = CachedRun(network, len(embeds))
    states = run.append(embeds, mask)
    ids: list[list[int]] = [[] for _ in range(len(embeds))]
    total, stopped, live = [0.0] * len(ids), [False] * len(ids), list(range(len(ids)))
    for step in range(limit):
        logits = network.logits(states)
        chosen = drawing.choose(logits, live)
        logprobs = logits.log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0].tolist()
        for i, token, logprob in zip(live, chosen.tolist(), logprobs, strict=True):
            ids[i].append(token)
            total[i] += logprob
            stopped[i] = token in stop
        kept = [at for at, i in enumerate(live) if not stopped[i]]
        if not kept or step + 1 == limit:
            break
        run.keep(kept)
        live = [live[at] for at in kept]
        states = run.append(network.embed(chosen[kept][:, None]))
    return [
        Written(ids=tuple(row), logprob=total[i] / max(1, len(row)), stopped=stopped[i])
        for i, row in enumerate(ids)
    ]
