"""log p(choice | prompt) of choice questions, batched by length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from workbench.errors import NotFinite
from workbench.methods.choices import Ids, answers
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.tokens import token_ids
from workbench.sampling.rendering import message_ids, text_ids

SCORINGS = ("sum", "per-byte", "prior-corrected")
CONTENT_FREE = "N/A"
LEAD = "\nAnswer:"


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt with one choice: the ids that are read, and from which on they are scored."""

    ids: tuple[int, ...]
    start: int


def requests(model: Model, prompt: str, choices: Sequence[str], *, chat: bool) -> list[Request]:
    """Return a request per choice.

    A choice is tokenized together with the prompt and owns the blank before it. Scores begin
    where its tokens leave those of the bare prompt, at the same place for all choices.
    """
    text = f"{prompt}{LEAD}"
    if chat:
        asked = message_ids(model.tokenizer, prompt, name=model.spec.name)
        rows = [[*asked, *token_ids(model.tokenizer, c, special_tokens=False)] for c in choices]
    else:
        asked = text_ids(model.tokenizer, text)
        rows = [text_ids(model.tokenizer, f"{text} {choice}") for choice in choices]
    start = max(1, min(n_same(asked, row) for row in rows))
    return [Request(ids=tuple(row), start=start) for row in rows]


def n_same(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many first tokens two rows share, all but the last of the other at most."""
    pairs = zip(one, other, strict=False)
    n = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
    return min(n, len(other) - 1)


def log_probabilities(
    model: Model, asked: Sequence[Request], context: Context
) -> Float[np.ndarray, " n"]:
    """Return the log-probability of each choice, in nats, summed over its tokens.

    Choices behind one prompt share a forward pass, which none of them sees of the others.

    Raises:
        NotFinite: a log-probability is not finite.
    """
    owners: dict[Ids, dict[Ids, list[int]]] = {}
    for i, one in enumerate(asked):
        choices = owners.setdefault(one.ids[: one.start], {})
        choices.setdefault(one.ids[one.start :], []).append(i)
    told = answers(
        model, list(owners), [list(own) for own in owners.values()],
        progress=lambda done: context.progress(done, len(owners), "prompts scored"),
    )  # fmt: skip
    found = np.zeros(len(asked))
    for own, answer in zip(owners.values(), told, strict=True):
        for places, total in zip(own.values(), answer.total.tolist(), strict=True):
            found[places] = total
    if not np.isfinite(found).all():
        raise NotFinite("a choice has no finite log-probability", hint="load it in float32")
    return found


def scorings(
    total: Float[np.ndarray, " choice"],
    prior: Float[np.ndarray, " choice"],
    choices: Sequence[str],
) -> dict[str, Float[np.ndarray, " choice"]]:
    """Return every scoring of choices as they follow the prompt, their blank included, in nats."""
    n_bytes = np.array([len(choice.encode()) for choice in choices])
    return dict(zip(SCORINGS, (total, total / n_bytes, total - prior), strict=True))
