"""log p(choice | prompt) of choice questions, batched by length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from workbench.errors import NotFinite
from workbench.methods.contracts import Context
from workbench.model.model import Model
from workbench.model.sites import Kind, Site
from workbench.model.tokens import pad, token_ids
from workbench.sampling.rendering import message_ids, text_ids

SCORINGS = ("sum", "per-byte", "prior-corrected")
CONTENT_FREE = "N/A"
LEAD = "\nAnswer:"
_FINAL = Site(Kind.FINAL_NORM, None)
_BATCH_TOKENS = 3072


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

    Requests that share all but their last token share a forward pass.

    Raises:
        NotFinite: a log-probability is not finite.
    """
    found = np.zeros(len(asked))
    owners: dict[tuple[int, ...], list[int]] = {}
    for i, one in enumerate(asked):
        owners.setdefault(one.ids[:-1], []).append(i)
    done = 0
    for rows in batches(sorted(owners, key=len)):
        trace = model.run(pad(rows), read=[_FINAL])
        for states, row in zip(trace[_FINAL], rows, strict=True):
            for i in owners[row]:
                start, ids = asked[i].start, asked[i].ids
                logits = model.unembed(states[start - 1 : len(row)], normed=True)
                logp = torch.log_softmax(logits.double(), dim=-1).cpu()
                found[i] = float(logp[range(len(ids) - start), list(ids[start:])].sum())
        done += len(rows)
        context.progress(done, len(owners), "prompts scored")
    if not np.isfinite(found).all():
        raise NotFinite("a choice has no finite log-probability", hint="load it in float32")
    return found


def batches(rows: Sequence[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Part rows, which stand in order of length, into batches of at most so many tokens."""
    batch: list[tuple[int, ...]] = []
    for row in rows:
        if batch and (len(batch) + 1) * len(row) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
