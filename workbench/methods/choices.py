"""How likely a model finds each of some texts that may follow a prompt, in few forward passes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.model.capabilities import verdict
from workbench.model.masks import MASKS, Piece, lay_out, size
from workbench.model.model import Model
from workbench.model.prompt_tree import Prompt, PromptTree, prompt_trees
from workbench.model.sites import Kind, Site

_FINAL = Site(Kind.FINAL_NORM)
_ROWS, _TOKENS = 16, 3072

Ids = tuple[int, ...]
T = TypeVar("T")


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

    Choices, and neighbouring prompts that begin alike, are branches of one row that do not see
    each other; where a model does not honour that, each is a row of its own.

    Raises:
        Unsupported: a prompt holds parts, and the model does not honour them.
    """
    # The last token of a choice predicts nothing that is asked for.
    asked = [
        (i, tuple(prompt) + ids[:-1], ids)
        for i, (prompt, own) in enumerate(zip(prompts, choices, strict=True))
        for ids in (own or [()])
    ]
    texts: list[Prompt] = [text for _, text, _ in asked]
    trees = list(prompt_trees(texts))
    if len(trees) < len(texts) and not verdict(model, MASKS).works:
        trees = list(prompt_trees(texts, together=False))
    logits: dict[int, Float[Tensor, " d_vocab"]] = {}
    each: dict[int, Float[Tensor, " token"]] = {}
    for done, (tree, states) in enumerate(_states(model, trees)):
        lengths = [len(asked[i][2]) or 1 for i in tree.numbers]
        after, place = _after(model, states, tree, lengths)
        logp = after.double().log_softmax(dim=-1)
        for i, own in zip(tree.numbers, place, strict=True):
            number, _, ids = asked[i]
            logits.setdefault(number, after[own[0]].float().clone())
            each[i] = logp[own[: len(ids)], list(ids)]
        progress((done + 1) * len(prompts) // len(trees))
    ends = [0, *accumulate(len(own) or 1 for own in choices)]
    return [
        Answers(logits=logits[i], each=tuple(each[k] for k in range(*ends[i : i + 2]) if own))
        for i, own in enumerate(choices)
    ]


def _states(
    model: Model, trees: Sequence[PromptTree]
) -> Iterator[tuple[PromptTree, Float[Tensor, "pos d_model"]]]:
    """Yield every row with its last states, without its padding."""
    for batch in batches(trees, lambda tree: size(tree.pieces), most=_ROWS):
        tokens, layout = lay_out([tree.pieces for tree in batch])
        states = model.run(tokens, read=(_FINAL,), layout=layout).activations[_FINAL]
        for row, tree in enumerate(batch):
            yield tree, states[row, -size(tree.pieces) :]


def _after(
    model: Model, states: Float[Tensor, "pos d_model"], tree: PromptTree, lengths: Sequence[int]
) -> tuple[Float[Tensor, "read d_vocab"], list[list[int]]]:
    """Return logits at the last columns of each prompt, and which rows of them are whose."""
    own = [columns[-n:] for columns, n in zip(tree.columns, lengths, strict=True)]
    read = sorted({column for columns in own for column in columns})
    place = {column: k for k, column in enumerate(read)}
    logits = model.unembed(states[read], normed=True).cpu()
    return logits, [[place[column] for column in columns] for columns in own]


def batches(
    rows: Sequence[T], length: Callable[[T], int], *, most: int | None = None
) -> Iterator[list[T]]:
    """Part rows, shortest first, into batches of at most 3,072 tokens with their padding."""
    batch: list[T] = []
    for row in sorted(rows, key=length):
        if batch and ((len(batch) + 1) * length(row) > _TOKENS or len(batch) == most):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
