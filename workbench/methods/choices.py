"""How likely a model finds each of some texts that may follow a prompt, in few forward passes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.model.capabilities import verdict
from workbench.model.masks import MASKS, Parallel, Piece, lay_out
from workbench.model.model import Model
from workbench.model.sites import Kind, Site

_FINAL = Site(Kind.FINAL_NORM)
_ROWS = 16

Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """What follows a prompt: the logits of the next token, and log p of each choice, in nats.

    `each[j]` are the log-probabilities of the tokens of choice j, by the chain rule.
    """

    logits: Float[Tensor, " d_vocab"]
    each: tuple[Float[Tensor, " token"], ...] = ()

    @property
    def total(self) -> Float[Tensor, " choice"]:
        """The log-probability of each choice after the prompt, in nats."""
        return torch.stack([x.sum() for x in self.each])


def answers(
    model: Model,
    prompts: Sequence[Sequence[Piece]],
    choices: Sequence[Sequence[Ids]],
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Answers]:
    """Return what follows each prompt, whose own choices (none, or several) stand beside it.

    Choices are branches that do not see each other, so that a prompt is run once; where a model
    does not honour that, it is run once for each of its choices.

    Raises:
        Unsupported: a prompt holds parts, and the model does not honour them.
    """
    together = verdict(model, MASKS).works
    jobs = [(i, list(own)) for i, own in enumerate(choices)]
    if not together:
        jobs = [(i, [one]) for i, own in jobs for one in own] + [(i, []) for i, o in jobs if not o]
    jobs.sort(key=lambda job: job[0])
    parts: list[list[Answers]] = [[] for _ in prompts]
    for at in range(0, len(jobs), _ROWS):
        some = jobs[at : at + _ROWS]
        for (i, _), found in zip(some, _run(model, prompts, some), strict=True):
            parts[i].append(found)
        progress(some[-1][0])
    return [
        Answers(logits=own[0].logits, each=tuple(x for one in own for x in one.each))
        for own in parts
    ]


def _run(
    model: Model, prompts: Sequence[Sequence[Piece]], jobs: Sequence[tuple[int, list[Ids]]]
) -> list[Answers]:
    rows = [(*prompts[i], *((Parallel(branches=tuple(own)),) if own else ())) for i, own in jobs]
    tokens, layout = lay_out(rows)
    states = model.run(tokens, read=(_FINAL,), layout=layout).activations[_FINAL]
    width = tokens.ids.shape[1]
    found = []
    for row, (_, own) in enumerate(jobs):
        begin = width - sum(map(len, own)) - 1
        # The last token of a choice predicts nothing that is asked for.
        logits = model.unembed(states[row, begin:], normed=True).float()
        logp, at, each = logits.log_softmax(dim=-1), 1, []
        for ids in own:
            columns = [0, *range(at, at + len(ids) - 1)]
            each.append(logp[columns, list(ids)].double().cpu())
            at += len(ids)
        found.append(Answers(logits=logits[0].cpu(), each=tuple(each)))
    return found
